import assert from "node:assert/strict";
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ContainerState, PodSandboxState } from "@tripod/api/cri";
import { isNodeError } from "@tripod/base";
import { startTestNode, type TestNode } from "./testing/test-node.ts";

let node: TestNode;
before(async () => {
  node = await startTestNode({ ownProcess: true, rootSizeBytes: 64 * 1024 * 1024 });
});
after(async () => {
  await node?.[Symbol.asyncDispose]();
});

const ballast = (): string => join(node.layout.root ?? "", "ballast");

/** Fills the file system of the root to its last byte. */
function fillDisk(): void {
  const fd = openSync(ballast(), "a");
  try {
    for (let size = 1024 * 1024; size > 0; ) {
      try {
        if (writeSync(fd, Buffer.alloc(size)) < size) size = Math.floor(size / 2);
      } catch (error) {
        if (!isNodeError(error, "ENOSPC")) throw error;
        size = Math.floor(size / 2);
      }
    }
  } finally {
    closeSync(fd);
  }
}

const noRoom = { code: "exhausted" };

test("on a full disk nothing new is made and nothing is left of the attempt; what runs can be stopped and removed", async () => {
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig() });
  const runs = await node.run(podSandboxId, "trap 'exit 3' TERM; while :; do echo tick; sleep 0.05; done");
  const waits = await node.create(podSandboxId, "sleep 1000");
  fillDisk();
  const before = node.leaks();
  const config = node.sandboxConfig();
  await assert.rejects(node.runtime.runPodSandbox({ config }), noRoom);
  await assert.rejects(node.create(podSandboxId, "sleep 1000", { metadata: { name: "late", attempt: 0 } }), noRoom);
  assert.deepEqual(node.leaks(), before);
  await node.images.removeImage({ image: { image: node.image } });
  fillDisk();
  await assert.rejects(node.images.pullImage({ image: { image: node.image } }), noRoom);
  assert.deepEqual((await node.images.listImages({})).images, []);
  assert.equal((await node.runtime.listPodSandbox({})).items.length, 1);
  assert.equal((await node.runtime.listContainers({})).containers.length, 2);
  const state = async (containerId: string) => (await node.runtime.containerStatus({ containerId })).status?.state;
  assert.equal(await state(runs), ContainerState.CONTAINER_RUNNING);
  assert.equal(await state(waits), ContainerState.CONTAINER_CREATED);
  await node.runtime.stopContainer({ containerId: runs, timeout: 5n });
  assert.equal(await state(runs), ContainerState.CONTAINER_EXITED);
  await node.runtime.removeContainer({ containerId: runs });
  assert.equal((await node.runtime.listContainers({})).containers.length, 1);

  fillDisk();
  await node.kill();
  await node.start();
  assert.equal((await node.runtime.podSandboxStatus({ podSandboxId })).status?.state, PodSandboxState.SANDBOX_READY);
  assert.equal(await state(waits), ContainerState.CONTAINER_CREATED);
  await node.runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);

  rmSync(ballast());
  await node.images.pullImage({ image: { image: node.image } });
  const again = await node.runtime.runPodSandbox({ config });
  await node.run(again.podSandboxId, "sleep 1000");
  await node.runtime.removePodSandbox({ podSandboxId: again.podSandboxId });
  assert.deepEqual(node.leaks(), []);
});
