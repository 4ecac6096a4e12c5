import assert from "node:assert/strict";
import { type ContainerEventResponse, ContainerEventType, ContainerState } from "@tripod/api/cri";
import { eventually } from "../suite/eventually.ts";
import { topic } from "../suite/spec.ts";
import type { World } from "../suite/world.ts";

const { CONTAINER_CREATED_EVENT, CONTAINER_STARTED_EVENT, CONTAINER_STOPPED_EVENT, CONTAINER_DELETED_EVENT } =
  ContainerEventType;

/** Listens from now on until the end of the spec. An error of the stream is thrown by check(). */
async function listen(world: World): Promise<{ readonly seen: ContainerEventResponse[]; readonly check: () => void }> {
  const stop = new AbortController();
  const seen: ContainerEventResponse[] = [];
  let failure: unknown;
  const events = world.runtime.getContainerEvents({}, { signal: stop.signal });
  const reading = (async () => {
    try {
      for await (const event of events) seen.push(event);
    } catch (error) {
      if (!stop.signal.aborted) failure = error;
    }
  })();
  world.defer(async () => {
    stop.abort();
    await reading;
  });
  const check = (): void => {
    if (failure !== undefined) throw failure;
  };
  // The stream has no sign of its own beginning: containers are made until one is seen.
  await eventually("the stream tells of a container", async () => {
    check();
    const { containerId } = await world.runtime.createContainer(await probe(world));
    await world.runtime.removeContainer({ containerId });
    return seen.length > 0 ? true : undefined;
  });
  return { seen, check };
}

async function probe(world: World) {
  const pod = await world.pod();
  return { podSandboxId: pod.id, config: world.containerConfig(), sandboxConfig: pod.config };
}

const typesOf = (seen: readonly ContainerEventResponse[], id: string): ContainerEventType[] =>
  seen.filter(({ containerId }) => containerId === id).map(({ containerEventType }) => containerEventType);

export const events = topic("events", {
  async "a container's creation, start, stop and removal are told, in order"(world) {
    const { seen, check } = await listen(world);
    const containerId = await world.run(await world.pod());
    await world.runtime.stopContainer({ containerId, timeout: 0n });
    await world.runtime.removeContainer({ containerId });
    const expected = [
      CONTAINER_CREATED_EVENT,
      CONTAINER_STARTED_EVENT,
      CONTAINER_STOPPED_EVENT,
      CONTAINER_DELETED_EVENT,
    ];
    await eventually("all four are told", () => (check(), typesOf(seen, containerId).length >= 4 ? true : undefined));
    assert.deepEqual(typesOf(seen, containerId), expected);
    const times = seen.filter((event) => event.containerId === containerId).map(({ createdAt }) => createdAt);
    assert.deepEqual(
      times,
      times.toSorted((a, b) => Number(a - b)),
    );
  },
  async "an event comes with the status of the sandbox and its containers at that time"(world) {
    const { seen, check } = await listen(world);
    const sandbox = await world.sandbox();
    const id = await world.shell(sandbox, "exit 3");
    const stopped = await eventually("the end is told", () => {
      check();
      return seen.find((event) => event.containerId === id && event.containerEventType === CONTAINER_STOPPED_EVENT);
    });
    assert.equal(stopped.podSandboxStatus?.id, sandbox.id);
    const status = stopped.containersStatuses.find((one) => one.id === id);
    assert.equal(status?.state, ContainerState.CONTAINER_EXITED);
    assert.equal(status?.exitCode, 3);
  },
  async "a sandbox's own creation and removal are told"(world) {
    const { seen, check } = await listen(world);
    const { id } = await world.sandbox();
    await world.removeSandbox(id);
    await eventually("its removal is told", () => {
      check();
      return typesOf(seen, id).includes(CONTAINER_DELETED_EVENT) ? true : undefined;
    });
    assert.equal(typesOf(seen, id)[0], CONTAINER_CREATED_EVENT);
    assert.ok(typesOf(seen, id).includes(CONTAINER_STOPPED_EVENT));
  },
  async "two listeners are told the same"(world) {
    const [first, second] = [await listen(world), await listen(world)];
    const containerId = await world.run(await world.pod());
    await world.runtime.removeContainer({ containerId });
    for (const { seen, check } of [first, second])
      await eventually("the removal is told", () => {
        check();
        return typesOf(seen, containerId).includes(CONTAINER_DELETED_EVENT) ? true : undefined;
      });
    assert.deepEqual(typesOf(first.seen, containerId), typesOf(second.seen, containerId));
  },
});
