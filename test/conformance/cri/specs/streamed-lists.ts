import assert from "node:assert/strict";
import { topic } from "../suite/spec.ts";

/** All items of a stream. A message without items, or an item told twice, is an error. */
async function collect<M, T>(
  stream: AsyncIterable<M>,
  itemsOf: (message: M) => readonly T[],
  idOf: (item: T) => string,
) {
  const ids: string[] = [];
  for await (const message of stream) {
    const items = itemsOf(message);
    assert.ok(items.length > 0, "a message has no items");
    ids.push(...items.map(idOf));
  }
  assert.equal(new Set(ids).size, ids.length, "an item is told twice");
  return ids.toSorted();
}

export const streamedLists = topic("streamed lists", {
  async "StreamPodSandboxes tells what ListPodSandbox tells, by the same filters"(world) {
    const labelSelector = { which: world.unique("streamed") };
    const ids = [
      (await world.sandbox({ labels: labelSelector })).id,
      (await world.sandbox({ labels: labelSelector })).id,
    ];
    const stream = world.runtime.streamPodSandboxes({ filter: { labelSelector } });
    assert.deepEqual(
      await collect(
        stream,
        ({ podSandboxes }) => podSandboxes,
        ({ id }) => id,
      ),
      ids.toSorted(),
    );
    const all = await collect(
      world.runtime.streamPodSandboxes({}),
      ({ podSandboxes }) => podSandboxes,
      ({ id }) => id,
    );
    for (const id of ids) assert.ok(all.includes(id));
  },
  async "StreamContainers tells what ListContainers tells, by the same filters"(world) {
    const labelSelector = { which: world.unique("streamed") };
    const pod = await world.pod();
    const ids = [
      await world.create(pod, { labels: labelSelector }),
      await world.create(pod, { labels: labelSelector }),
    ];
    const stream = world.runtime.streamContainers({ filter: { labelSelector } });
    assert.deepEqual(
      await collect(
        stream,
        ({ containers }) => containers,
        ({ id }) => id,
      ),
      ids.toSorted(),
    );
  },
  async "StreamContainerStats and StreamPodSandboxStats tell what the lists tell"(world) {
    const labelSelector = { which: world.unique("streamed") };
    const sandbox = await world.sandbox({ labels: labelSelector });
    const id = await world.run(sandbox, { labels: labelSelector });
    const filter = { labelSelector };
    const containers = world.runtime.streamContainerStats({ filter });
    const sandboxes = world.runtime.streamPodSandboxStats({ filter });
    assert.deepEqual(
      await collect(
        containers,
        (message) => message.containerStats,
        (one) => one.attributes?.id ?? "",
      ),
      [id],
    );
    assert.deepEqual(
      await collect(
        sandboxes,
        (message) => message.podSandboxStats,
        (one) => one.attributes?.id ?? "",
      ),
      [sandbox.id],
    );
  },
  async "StreamImages tells what ListImages tells"(world) {
    const { ref } = await world.pull("streamed:1");
    const images = await collect(
      world.images.streamImages({}),
      (message) => message.images,
      ({ id }) => id,
    );
    assert.ok(images.includes(ref));
  },
  async "StreamPodSandboxMetrics tells of every sandbox"(world) {
    const { id } = await world.sandbox();
    const stream = world.runtime.streamPodSandboxMetrics({});
    const ids = await collect(
      stream,
      (message) => message.podSandboxMetrics,
      ({ podSandboxId }) => podSandboxId,
    );
    assert.ok(ids.includes(id));
  },
  async "a stream of nothing ends without a message"(world) {
    const filter = { labelSelector: { which: world.unique("nothing") } };
    for await (const message of world.runtime.streamPodSandboxes({ filter }))
      assert.fail(`a message: ${message.$typeName}`);
    for await (const message of world.runtime.streamContainers({ filter }))
      assert.fail(`a message: ${message.$typeName}`);
  },
});
