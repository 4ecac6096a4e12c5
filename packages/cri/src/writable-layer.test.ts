import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ContainerState, NamespaceMode } from "@tripod/api/cri";
import { mountInfo } from "@tripod/linux";
import { loopFilesLeft } from "@tripod/testing";
import { pushBusyboxImage } from "./testing/busybox-image.ts";
import { type SandboxInit, startTestNode, type TestNode } from "./testing/test-node.ts";

const mebibyte = 1024 * 1024;
let node: TestNode;
before(async () => {
  node = await startTestNode({
    config: { writableLayer: { maxSizeBytes: 32 * mebibyte, allowAnnotation: true } },
  });
});
after(async () => {
  await node?.[Symbol.asyncDispose]();
});

const root = (): string => node.layout.root ?? "";
const limited = (): number =>
  mountInfo().filter(({ mountPoint }) => mountPoint.startsWith(`${root()}/`) && mountPoint.endsWith("/limited")).length;

const ids = [{ containerId: 0, hostId: 700_000, length: 65_536 }];
const ownUsers: SandboxInit = {
  linux: {
    securityContext: {
      namespaceOptions: {
        usernsOptions: { mode: NamespaceMode.POD, uids: ids, gids: ids },
        pid: NamespaceMode.CONTAINER,
      },
    },
  },
};

for (const [how, change, atMost] of [
  ["by the node's default", {}, 32],
  ["by an annotation of its Pod", { annotations: { "max-size.storage.tripod.dev": "8Mi" } }, 8],
  ["in a user namespace", ownUsers, 32],
] as const) {
  test(`a container whose root file system is limited ${how} gets ENOSPC, and no other container does`, async () => {
    const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig(change) });
    const full = await node.run(podSandboxId, "dd if=/dev/zero of=/big bs=64k");
    const { exitCode } = await node.reached(full, ContainerState.CONTAINER_EXITED);
    assert.equal(exitCode, 1);
    assert.match((await node.log(full)).join("\n"), /No space left on device/);
    const { stats } = await node.runtime.containerStats({ containerId: full });
    const used = Number(stats?.writableLayer?.usedBytes?.value ?? 0n);
    assert.ok(used <= atMost * mebibyte && used > (atMost - 3) * mebibyte, `${used} bytes are said to be written`);

    const neighbour = await node.run(podSandboxId, "sleep 1000");
    const exec = async (containerId: string, script: string): Promise<string> => {
      const reply = await node.runtime.execSync({ containerId, cmd: ["sh", "-c", script] });
      return Buffer.concat([reply.stdout, reply.stderr]).toString();
    };
    assert.equal(await exec(neighbour, "head -c 3000000 /dev/zero > /mine && wc -c < /mine"), "3000000\n");
    await exec(neighbour, "dd if=/dev/zero of=/big bs=64k");
    assert.equal(await exec(neighbour, "rm /big && head -c 3000000 /dev/zero > /again && wc -c < /again"), "3000000\n");
    assert.equal(limited(), 2);
    const metrics = (await node.runtime.listPodSandboxMetrics({})).podMetrics
      .flatMap(({ containerMetrics }) => containerMetrics)
      .find(({ containerId }) => containerId === neighbour)?.metrics;
    const most = metrics?.find(({ name }) => name === "container_fs_limit_bytes");
    assert.equal(most?.value?.value, BigInt(atMost * mebibyte));
    await node.runtime.removePodSandbox({ podSandboxId });
    assert.equal(limited(), 0);
    assert.deepEqual(await loopFilesLeft(root()), []);
    assert.deepEqual(node.leaks(), []);
  });
}

test("what a limited container writes to its image's volumes counts", async () => {
  const image = await pushBusyboxImage(node.image.split("/")[0] ?? "", {
    tag: "limited-volumes",
    config: { Volumes: { "/data": {}, "/etc": {} } },
  });
  await node.images.pullImage({ image: { image } });
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig() });
  const script =
    "test -s /etc/passwd && dd if=/dev/zero of=/data/big bs=64k; head -c 1000000 /dev/zero > /etc/more || echo full";
  const full = await node.run(podSandboxId, script, { image: { image } });
  await node.reached(full, ContainerState.CONTAINER_EXITED);
  const log = (await node.log(full)).join("\n");
  assert.match(log, /\/data\/big.*No space left on device/);
  assert.match(log, /stdout F full/);
  await node.runtime.removePodSandbox({ podSandboxId });
  await node.images.removeImage({ image: { image } });
  assert.deepEqual(node.leaks(), []);
});

test("a limit that nothing can keep, or that the node does not allow, refuses the container and leaves nothing", async () => {
  for (const [annotation, message] of [
    ["10", /annotation max-size.storage.tripod.dev: .*10 bytes.*1Mi/],
    ["much", /is not a quantity/],
  ] as const) {
    const annotations = { "max-size.storage.tripod.dev": annotation };
    const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig({ annotations }) });
    await assert.rejects(node.create(podSandboxId, "true"), { code: "invalid", message });
    await node.runtime.removePodSandbox({ podSandboxId });
  }
  await node.restart({});
  const annotations = { "max-size.storage.tripod.dev": "8Mi" };
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig({ annotations }) });
  await assert.rejects(node.create(podSandboxId, "true"), { code: "failed-precondition", message: /allowAnnotation/ });
  await node.runtime.removePodSandbox({ podSandboxId });
  // Without a limit nothing is made for one.
  const plain = await node.runtime.runPodSandbox({ config: node.sandboxConfig() });
  await node.run(plain.podSandboxId, "sleep 1000");
  assert.equal(limited(), 0);
  await node.runtime.removePodSandbox({ podSandboxId: plain.podSandboxId });
  assert.deepEqual(node.leaks(), []);
});
