import assert from "node:assert/strict";
import { ContainerState, PodSandboxState } from "@tripod/api/cri";
import { eventually } from "../suite/eventually.ts";
import { topic } from "../suite/spec.ts";
import { refused, type World } from "../suite/world.ts";

/** Deadlines that pass at several places of a request's way. */
const deadlinesMs = [1, 5, 15, 40];

/** What the kubelet does after a deadline: it asks again, with the same names, until it is answered. */
async function untilAnswered<T>(what: string, ask: () => Promise<T>): Promise<T> {
  let last: unknown;
  try {
    return await eventually(what, async () => {
      try {
        return await ask();
      } catch (error) {
        last = error;
        return undefined;
      }
    });
  } catch {
    throw last;
  }
}

const sandboxesOf = async (world: World, labels: Record<string, string>): Promise<string[]> =>
  (await world.runtime.listPodSandbox({ filter: { labelSelector: labels } })).items.map(({ id }) => id);
const containersOf = async (world: World, labels: Record<string, string>): Promise<string[]> =>
  (await world.runtime.listContainers({ filter: { labelSelector: labels } })).containers.map(({ id }) => id);

export const repeatedRequests = topic("repeated and abandoned requests", {
  async "after RunPodSandbox ran out of time the same request succeeds at once"(world) {
    for (const timeoutMs of deadlinesMs) {
      const labels = { which: world.unique("late") };
      const config = await world.sandboxConfig({ labels });
      await world.runSandbox(config, { timeoutMs }).catch(() => undefined); // it may have been faster
      const { id } = await world.runSandbox(config);
      assert.equal((await world.sandboxStatus(id)).state, PodSandboxState.SANDBOX_READY);
      assert.deepEqual(await sandboxesOf(world, labels), [id]);
    }
  },
  async "after RunPodSandbox ran out of time its name is free, or its sandbox found, soon"(world) {
    const labels = { which: world.unique("late") };
    const config = await world.sandboxConfig({ labels });
    await world.runSandbox(config, { timeoutMs: 10 }).catch(() => undefined);
    const { id } = await untilAnswered("RunPodSandbox succeeds", () => world.runSandbox(config));
    for (const other of await sandboxesOf(world, labels)) if (other !== id) await world.removeSandbox(other);
    assert.equal((await world.sandboxStatus(id)).state, PodSandboxState.SANDBOX_READY);
  },
  async "after CreateContainer ran out of time the same request succeeds at once"(world) {
    const pod = await world.pod();
    for (const timeoutMs of deadlinesMs) {
      const labels = { which: world.unique("late") };
      const config = world.containerConfig({ labels });
      await world.create(pod, config, { timeoutMs }).catch(() => undefined); // it may have been faster
      const id = await world.create(pod, config);
      assert.deepEqual(await containersOf(world, labels), [id]);
      await world.runtime.startContainer({ containerId: id });
    }
  },
  async "after CreateContainer ran out of time its name is free, or its container found, soon"(world) {
    const pod = await world.pod();
    const labels = { which: world.unique("late") };
    const config = world.containerConfig({ labels });
    await world.create(pod, config, { timeoutMs: 5 }).catch(() => undefined);
    await untilAnswered("CreateContainer succeeds", () => world.create(pod, config));
  },
  async "a request for a sandbox that is abandoned leaves nothing when the sandbox is removed by its labels"(world) {
    const labels = { which: world.unique("abandoned") };
    const config = await world.sandboxConfig({ labels });
    const stop = AbortSignal.timeout(5);
    await world.runtime.runPodSandbox({ config }, { signal: stop }).catch(() => undefined);
    // Whether it was finished or given up is the runtime's choice; a new attempt must not be in its way.
    const next = await untilAnswered("RunPodSandbox of the next attempt", () =>
      world.runSandbox({ ...config, metadata: { ...config.metadata, attempt: 1 } }),
    );
    for (const id of await sandboxesOf(world, labels)) if (id !== next.id) await world.removeSandbox(id);
    assert.deepEqual(await sandboxesOf(world, labels), [next.id]);
  },
  async "RunPodSandbox asked for five times at once makes one sandbox"(world) {
    const labels = { which: world.unique("together") };
    const config = await world.sandboxConfig({ labels });
    const results = await Promise.allSettled(Array.from({ length: 5 }, () => world.runSandbox(config)));
    const ids = results.flatMap((result) => (result.status === "fulfilled" ? [result.value.id] : []));
    assert.ok(ids.length > 0, "all have failed");
    assert.equal(new Set(ids).size, 1);
    assert.deepEqual(await sandboxesOf(world, labels), [ids[0]]);
  },
  async "CreateContainer asked for five times at once makes one container"(world) {
    const labels = { which: world.unique("together") };
    const pod = await world.pod();
    const config = world.containerConfig({ labels });
    const results = await Promise.allSettled(Array.from({ length: 5 }, () => world.create(pod, config)));
    const ids = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    assert.ok(ids.length > 0, "all have failed");
    assert.equal(new Set(ids).size, 1);
    assert.deepEqual(await containersOf(world, labels), [ids[0]]);
  },
  async "of five that start a container at once one at least succeeds, and it runs"(world) {
    const containerId = await world.create(await world.pod());
    const starts = Array.from({ length: 5 }, () => world.runtime.startContainer({ containerId }));
    const results = await Promise.allSettled(starts);
    assert.ok(results.some(({ status }) => status === "fulfilled"));
    assert.equal((await world.status(containerId)).state, ContainerState.CONTAINER_RUNNING);
  },
  async "a sandbox that is stopped and removed five times at once is gone"(world) {
    const sandbox = await world.sandbox();
    await world.run(sandbox);
    const five = Array.from({ length: 5 });
    await Promise.all(five.map(() => world.runtime.stopPodSandbox({ podSandboxId: sandbox.id })));
    await Promise.all(five.map(() => world.runtime.removePodSandbox({ podSandboxId: sandbox.id })));
    await refused(world.runtime.podSandboxStatus({ podSandboxId: sandbox.id }), "not-found");
  },
  async "a container that is removed five times at once is gone"(world) {
    const containerId = await world.run(await world.pod());
    await Promise.all(Array.from({ length: 5 }, () => world.runtime.removeContainer({ containerId })));
    await refused(world.runtime.containerStatus({ containerId }), "not-found");
  },
  async "a sandbox that is stopped while containers are made in it ends with none running"(world) {
    const sandbox = await world.sandbox();
    const creations = Array.from({ length: 4 }, () => world.run(sandbox));
    await Promise.all([
      Promise.allSettled(creations),
      world.runtime.stopPodSandbox({ podSandboxId: sandbox.id }).then(() => undefined),
    ]);
    await world.runtime.stopPodSandbox({ podSandboxId: sandbox.id });
    const filter = { podSandboxId: sandbox.id, state: { state: ContainerState.CONTAINER_RUNNING } };
    assert.deepEqual((await world.runtime.listContainers({ filter })).containers, []);
  },
});
