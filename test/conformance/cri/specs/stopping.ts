import assert from "node:assert/strict";
import { NamespaceMode, Signal } from "@tripod/api/cri";
import { eventually } from "../suite/eventually.ts";
import { processesWith } from "../suite/host-processes.ts";
import { notImplemented, skip, topic } from "../suite/spec.ts";
import type { ContainerInit, Sandbox, World } from "../suite/world.ts";

/** A container that says which of these signals it hears, and ends with 7 then; it hears when this resolves. */
async function listener(world: World, pod: Sandbox, change: ContainerInit = {}): Promise<string> {
  const traps = ["TERM", "INT", "USR1", "USR2", "QUIT"]
    .map((name) => `trap 'echo heard ${name}; exit 7' ${name}`)
    .join("; ");
  const id = await world.shell(pod, `${traps}; echo listening; while :; do sleep 0.02; done`, change);
  await hasSaid(world, id, "listening");
  return id;
}

const hasSaid = (world: World, id: string, text: string): Promise<true> =>
  eventually(`the container says ${text}`, async () =>
    (await world.log(id)).some((line) => line.text === text) ? true : undefined,
  );

async function stopped(world: World, containerId: string, timeout: bigint): Promise<{ exitCode: number; ms: number }> {
  const started = performance.now();
  await world.runtime.stopContainer({ containerId, timeout });
  const { exitCode } = await world.exited(containerId);
  return { exitCode, ms: performance.now() - started };
}

export const stopping = topic("stopping", {
  async "a container is asked by SIGTERM and may end with a code of its own"(world) {
    const id = await listener(world, await world.pod());
    assert.equal((await stopped(world, id, 20n)).exitCode, 7);
    await hasSaid(world, id, "heard TERM");
  },
  async "the image's stop signal is used"(world) {
    const image = { image: await world.imageRef("stop-usr1:1") };
    const id = await listener(world, await world.pod(), { image });
    assert.equal((await stopped(world, id, 20n)).exitCode, 7);
    await hasSaid(world, id, "heard USR1");
  },
  async "the request's stop signal goes before the image's, and is in the status"(world) {
    const image = { image: await world.imageRef("stop-usr1:1") };
    const id = await listener(world, await world.pod(), { image, stopSignal: Signal.SIGUSR2 });
    const { stopSignal } = await world.status(id);
    if (stopSignal === Signal.RUNTIME_DEFAULT) notImplemented("ContainerStatus has no stop_signal");
    assert.equal(stopSignal, Signal.SIGUSR2);
    assert.equal((await stopped(world, id, 20n)).exitCode, 7);
    await hasSaid(world, id, "heard USR2");
  },
  async "a container that does not listen is killed when the time is over"(world) {
    const id = await world.shell(await world.pod(), "trap '' TERM; echo deaf; while :; do sleep 0.02; done");
    await hasSaid(world, id, "deaf");
    const { exitCode, ms } = await stopped(world, id, 1n);
    assert.equal(exitCode, 137);
    assert.ok(ms >= 1000, `killed after ${ms} ms already`);
  },
  async "with a time of 0 it is killed at once"(world) {
    const id = await listener(world, await world.pod());
    assert.equal((await stopped(world, id, 0n)).exitCode, 137);
    assert.deepEqual(
      (await world.log(id)).map((line) => line.text),
      ["listening"],
    );
  },
  async "everything that the container has started is killed with it"(world) {
    const word = world.unique("child");
    const child = `trap "" TERM INT HUP; while :; do sleep 0.05; done`;
    const script = `sh -c '${child}' ${word} & setsid sh -c '${child}' ${word} & echo started; trap '' TERM; wait; while :; do sleep 1; done`;
    const id = await world.shell(await world.pod(), script);
    await hasSaid(world, id, "started");
    if (processesWith(word).length === 0) skip("the runtime's processes cannot be seen from here");
    await stopped(world, id, 0n);
    await eventually("the children are gone", () => (processesWith(word).length === 0 ? true : undefined));
  },
  async "everything in a container of the node's PID namespace is killed with it"(world) {
    const word = world.unique("child");
    const child = `trap "" TERM INT HUP; while :; do sleep 0.05; done`;
    const linux = { securityContext: { namespaceOptions: { pid: NamespaceMode.NODE } } };
    const sandbox = await world.sandbox({ linux });
    const id = await world.shell(sandbox, `setsid sh -c '${child}' ${word} & echo started; wait`, { linux });
    await hasSaid(world, id, "started");
    if (processesWith(word).length === 0) skip("the runtime's processes cannot be seen from here");
    await stopped(world, id, 0n);
    await eventually("the children are gone", () => (processesWith(word).length === 0 ? true : undefined));
  },
  async "two that stop a container at the same time both succeed"(world) {
    const id = await world.shell(await world.pod(), "trap '' TERM; echo deaf; while :; do sleep 0.02; done");
    await hasSaid(world, id, "deaf");
    await Promise.all([stopped(world, id, 2n), stopped(world, id, 1n), stopped(world, id, 0n)]);
    assert.equal((await world.status(id)).exitCode, 137);
  },
  async "one that stops a container with less patience is not kept waiting by another"(world) {
    const id = await world.shell(await world.pod(), "trap '' TERM; echo deaf; while :; do sleep 0.02; done");
    await hasSaid(world, id, "deaf");
    const patient = stopped(world, id, 30n);
    const { ms } = await stopped(world, id, 0n);
    assert.ok(ms < 15_000, `it took ${ms} ms`);
    await patient;
  },
});
