import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import {
  type ContainerEventResponse,
  ContainerEventType,
  ContainerState,
  NamespaceMode,
  PodSandboxState,
} from "@tripod/api/cri";
import { ContainerEvents } from "./events.ts";
import { startTestNode, type TestNode } from "./testing/test-node.ts";

const created = ContainerEventType.CONTAINER_CREATED_EVENT;
const started = ContainerEventType.CONTAINER_STARTED_EVENT;
const stopped = ContainerEventType.CONTAINER_STOPPED_EVENT;
const deleted = ContainerEventType.CONTAINER_DELETED_EVENT;

let node: TestNode;
before(async () => {
  node = await startTestNode();
});
after(async () => {
  await node?.[Symbol.asyncDispose]();
});

/** Listens; what has been heard once `until` says that it is enough, or the stream has ended. */
async function listen(
  until: (event: ContainerEventResponse) => boolean,
): Promise<{ heard: Promise<ContainerEventResponse[]> }> {
  const stop = new AbortController();
  const events = node.runtime.getContainerEvents({}, { signal: stop.signal })[Symbol.asyncIterator]();
  const first = events.next();
  // The stream listens once the server has seen the call; a call after it on the same connection has been answered later.
  await node.runtime.version({});
  const collect = async (): Promise<ContainerEventResponse[]> => {
    const all: ContainerEventResponse[] = [];
    for (let next = await first; next.done !== true; next = await events.next()) {
      all.push(next.value);
      if (until(next.value)) break;
    }
    stop.abort();
    return all;
  };
  return { heard: collect() };
}

/** Hears everything up to the deletion of as many sandboxes. */
async function listenUntilDeleted(sandboxes: number): Promise<{ heard: Promise<ContainerEventResponse[]> }> {
  let left = sandboxes;
  return await listen((event) => {
    const sandboxDeleted = event.containerEventType === deleted && event.podSandboxStatus === undefined;
    if (sandboxDeleted) left -= 1;
    return left === 0;
  });
}

const typesOf = (events: readonly ContainerEventResponse[], id: string): ContainerEventType[] =>
  events.filter(({ containerId }) => containerId === id).map(({ containerEventType }) => containerEventType);

test("every transition of sandboxes and containers is told once, in order, with the states of the moment", async () => {
  const { runtime } = node;
  const pods = 3;
  const { heard } = await listenUntilDeleted(pods);
  const expected = new Map<string, ContainerEventType[]>();
  await Promise.all(
    Array.from({ length: pods }, async () => {
      const { podSandboxId } = await runtime.runPodSandbox({ config: node.sandboxConfig() });
      expected.set(podSandboxId, [created, started, stopped, deleted]);
      const quick = await Promise.all(["true", "exit 3"].map((script) => node.run(podSandboxId, script)));
      const slow = await node.run(podSandboxId, "sleep 1000");
      const never = await node.create(podSandboxId, "true");
      for (const id of [...quick, slow]) expected.set(id, [created, started, stopped, deleted]);
      expected.set(never, [created, stopped, deleted]);
      await runtime.stopContainer({ containerId: slow, timeout: 0n });
      await runtime.removeContainer({ containerId: slow });
      await runtime.stopPodSandbox({ podSandboxId });
      await runtime.stopPodSandbox({ podSandboxId });
      await runtime.removePodSandbox({ podSandboxId });
    }),
  );
  const events = await heard;
  for (const [id, types] of expected) assert.deepEqual(typesOf(events, id), types, id);
  assert.equal(events.length, [...expected.values()].flat().length);
  for (const { containerId, containerEventType, podSandboxStatus, containersStatuses, createdAt } of events) {
    assert.ok(createdAt > 0n);
    if (podSandboxStatus?.id === containerId || podSandboxStatus === undefined) {
      const ready = containerEventType === created || containerEventType === started;
      const { SANDBOX_READY, SANDBOX_NOTREADY } = PodSandboxState;
      if (containerEventType === deleted) assert.equal(podSandboxStatus, undefined);
      else assert.equal(podSandboxStatus?.state, ready ? SANDBOX_READY : SANDBOX_NOTREADY);
      continue;
    }
    const state = containersStatuses.find(({ id }) => id === containerId)?.state;
    const { CONTAINER_CREATED, CONTAINER_RUNNING, CONTAINER_EXITED } = ContainerState;
    const states = [CONTAINER_CREATED, CONTAINER_RUNNING, CONTAINER_EXITED, undefined];
    assert.equal(state, states[[created, started, stopped, deleted].findIndex((type) => type === containerEventType)]);
  }
});

test("a shared PID namespace whose init ends is told once, and so is each of its containers", async () => {
  const { runtime } = node;
  const { heard } = await listenUntilDeleted(1);
  const namespaceOptions = { pid: NamespaceMode.POD };
  const { podSandboxId } = await runtime.runPodSandbox({
    config: node.sandboxConfig({ linux: { securityContext: { namespaceOptions } } }),
  });
  const containerId = await node.run(podSandboxId, "sleep 1000", { linux: { securityContext: { namespaceOptions } } });
  const { info } = await runtime.podSandboxStatus({ podSandboxId, verbose: true });
  const parsed: unknown = JSON.parse(info.info ?? "");
  const pid = /"init":\{"pid":(\d+)/.exec(JSON.stringify(parsed))?.[1];
  const { heard: end } = await listen((event) => event.containerId === podSandboxId);
  process.kill(Number(pid), "SIGKILL");
  assert.equal((await end).at(-1)?.podSandboxStatus?.state, PodSandboxState.SANDBOX_NOTREADY);
  await node.reached(containerId, ContainerState.CONTAINER_EXITED);
  await runtime.stopPodSandbox({ podSandboxId });
  await runtime.removePodSandbox({ podSandboxId });
  const events = await heard;
  assert.deepEqual(typesOf(events, podSandboxId), [created, started, stopped, deleted]);
  assert.deepEqual(typesOf(events, containerId), [created, started, stopped, deleted]);
});

test("a reader that comes back hears what happens from then on", async () => {
  const { runtime } = node;
  const { podSandboxId } = await runtime.runPodSandbox({ config: node.sandboxConfig() });
  const { heard: first } = await listen(({ containerEventType }) => containerEventType === created);
  const containerId = await node.create(podSandboxId, "sleep 1000");
  assert.deepEqual(typesOf(await first, containerId), [created]);
  const { heard: second } = await listen(({ containerEventType }) => containerEventType === deleted);
  await runtime.startContainer({ containerId });
  await runtime.removeContainer({ containerId });
  assert.deepEqual(typesOf(await second, containerId), [started, stopped, deleted]);
  await runtime.removePodSandbox({ podSandboxId });
});

test("a reader that does not read is cut off with a reason; the others go on", async () => {
  const events = new ContainerEvents(() => ({}));
  const signal = new AbortController().signal;
  const [slow, quick] = [events.listen(signal), events.listen(signal)];
  const [firstOfSlow, firstOfQuick] = [slow.next(), quick.next()];
  events.emit(created, "0", "s");
  assert.equal((await firstOfSlow).value?.containerId, "0");
  assert.equal((await firstOfQuick).value?.containerId, "0");
  for (let serial = 1; serial <= 1001; serial += 1) {
    events.emit(created, String(serial), "s");
    assert.equal((await quick.next()).value?.containerId, String(serial));
  }
  await assert.rejects(
    async () => {
      for await (const _event of slow);
    },
    { code: "exhausted", message: /1000 behind; ask again and list/ },
  );
  events.close();
  assert.equal((await quick.next()).done, true);
});
