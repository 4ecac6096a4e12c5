import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ContainerState, NamespaceMode } from "@tripod/api/cri";
import { statfsSync } from "node:fs";
import { mountInfo } from "@tripod/linux";
import { type SandboxInit, startTestNode, type TestNode } from "./testing/test-node.ts";

const mebibyte = 1024 * 1024;
let node: TestNode;
before(async () => {
  node = await startTestNode({ config: { snapshotter: "native" } });
});
after(async () => {
  await node?.[Symbol.asyncDispose]();
});

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

for (const kind of ["native", "fuse-overlayfs"] as const) {
  for (const [users, change] of [
    ["the host's users", {}],
    ["users of its own", ownUsers],
  ] as const) {
    test(`${kind}: a container with ${users} writes to its root, sees an image volume, is counted, and goes`, async () => {
      await node.restart({ snapshotter: kind });
      const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig(change) });
      const script = "head -c 3000000 /dev/zero > /big && stat -c %u /big /bin && test -x /image/bin/sh && echo seen";
      const containerId = await node.run(podSandboxId, `${script}; sleep 1000`, {
        mounts: [{ containerPath: "/image", image: { image: node.image }, readonly: true }],
      });
      const exec = await node.runtime.execSync({ containerId, cmd: ["sh", "-c", script] });
      assert.equal(exec.stdout.toString(), "0\n0\nseen\n");
      const { stats } = await node.runtime.containerStats({ containerId });
      const used = Number(stats?.writableLayer?.usedBytes?.value ?? 0n);
      assert.ok(used >= 3_000_000 && used < 4 * mebibyte, `${used} bytes are said to be written`);
      const root = mountInfo().find(({ mountPoint }) => mountPoint.endsWith(`${containerId}/rootfs`));
      assert.equal(root?.type === "fuse.fuse-overlayfs", kind === "fuse-overlayfs");
      const { containerFilesystems } = await node.images.imageFsInfo({});
      const taken = Number(containerFilesystems[0]?.usedBytes?.value ?? 0n);
      // A copy takes what the image does, a megabyte of busybox, unless the disk shares it.
      const XFS = 0x58465342;
      const copies = kind === "native" && ![XFS, 0x9123683e].includes(statfsSync(node.layout.snapshotsDir).type);
      assert.ok(copies ? taken > used + mebibyte / 2 : taken === used, `${taken} bytes are said to be taken`);
      await node.runtime.removePodSandbox({ podSandboxId });
      assert.deepEqual(node.leaks(), []);
    });
  }
}

test("a snapshotter that does not work here keeps the server from starting, in plain words; containers of another go on", async () => {
  await node.restart({ snapshotter: "native" });
  const { podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig() });
  const containerId = await node.run(podSandboxId, "sleep 1000");
  await assert.rejects(node.restart({ snapshotter: "btrfs" }), (error: Error) => {
    assert.match(error.message, /^snapshotter btrfs: .* is not on btrfs; mount a btrfs there .*cri\.snapshotter/);
    return true;
  });
  await node.restart({});
  const { status } = await node.runtime.containerStatus({ containerId });
  assert.equal(status?.state, ContainerState.CONTAINER_RUNNING);
  await node.runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(node.leaks(), []);
});
