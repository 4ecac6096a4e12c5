import assert from "node:assert/strict";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { VolumeCapability_AccessMode_Mode as Mode } from "@tripod/api/csi";
import { connectDriver, serveDriver } from "@tripod/csi";
import { lgetxattr } from "@tripod/linux";
import { TemporaryFolder } from "@tripod/linux/testing";
import { openLoopDriver } from "./loop-driver.ts";

test("a volume that is staged with a context has it on every file, published at a second place as well", {
  skip: existsSync("/sys/fs/selinux/enforce") ? false : "this kernel has no SELinux",
}, async () => {
  using folder = new TemporaryFolder("loop-selinux");
  using opened = await openLoopDriver({ stateDir: folder.join("state"), nodeId: "node-a" });
  const endpoint = folder.join("csi.sock");
  await using _served = await serveDriver({ endpoint, driver: opened.driver });
  using client = connectDriver(endpoint);
  const context = "system_u:object_r:container_file_t:s0:c10,c20";
  const volumeCapability = {
    accessType: { case: "mount" as const, value: { fsType: "ext4", mountFlags: [`context="${context}"`, "noatime"] } },
    accessMode: { mode: Mode.SINGLE_NODE_WRITER },
  };
  const capacityRange = { requiredBytes: 16n * 1024n * 1024n };
  const request = { name: "v", capacityRange, volumeCapabilities: [volumeCapability] };
  const { volume } = await client.controller.createVolume(request);
  const { volumeId = "", volumeContext = {} } = volume ?? {};
  const stagingTargetPath = folder.join("staged");
  mkdirSync(stagingTargetPath);
  const staged = { volumeId, volumeContext, stagingTargetPath, volumeCapability };
  await client.node.nodeStageVolume(staged);
  const targets = ["one", "two"].map((name) => folder.join(name));
  for (const targetPath of targets) {
    await client.node.nodePublishVolume({ ...staged, targetPath });
    const file = `${targetPath}/file`;
    writeFileSync(file, "");
    assert.equal(lgetxattr(file, "security.selinux")?.toString().replace(/\0$/, ""), context);
  }
  for (const targetPath of targets) await client.node.nodeUnpublishVolume({ volumeId, targetPath });
  await client.node.nodeUnstageVolume({ volumeId, stagingTargetPath });
});
