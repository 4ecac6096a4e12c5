import assert from "node:assert/strict";
import { mkdirSync, statfsSync } from "node:fs";
import { test } from "node:test";
import { VolumeCapability_AccessMode_Mode as Mode } from "@tripod/api/csi";
import { connectDriver, serveDriver } from "@tripod/csi";
import { staticSizeKey } from "@tripod/csi/migration";
import { isRoot } from "@tripod/linux";
import { TemporaryFolder } from "@tripod/linux/testing";
import { loopDriverName, openLoopDriver } from "./loop-driver.ts";

const mebibyte = 1024 ** 2;

test("a volume made by a handle alone is as large as it is said to be, at each mount anew, and in use when the node asks", {
  skip: isRoot() ? false : "mounting needs root",
}, async () => {
  using folder = new TemporaryFolder("loop-static");
  using opened = await openLoopDriver({ stateDir: folder.join("state"), nodeId: "node-a" });
  const endpoint = folder.join("csi.sock");
  await using _served = await serveDriver({ endpoint, driver: opened.driver });
  using client = connectDriver(endpoint);
  const volumeId = "vol-of-a-cloud";
  const volumeCapability = {
    // It grows in use for whoever mounts it.
    accessType: { case: "mount" as const, value: { fsType: "btrfs" } },
    accessMode: { mode: Mode.SINGLE_NODE_WRITER },
  };
  const stagingTargetPath = folder.join("staged");
  mkdirSync(stagingTargetPath);
  const stage = (mebibytes: number) =>
    client.node.nodeStageVolume({
      volumeId,
      stagingTargetPath,
      volumeCapability,
      volumeContext: { [staticSizeKey(loopDriverName)]: String(mebibytes * mebibyte) },
    });
  const size = (): number => {
    const { blocks, bsize } = statfsSync(stagingTargetPath);
    return (blocks * bsize) / mebibyte;
  };
  await stage(256);
  assert.equal(size(), 256);
  await client.node.nodeExpandVolume({
    volumeId,
    volumePath: stagingTargetPath,
    capacityRange: { requiredBytes: BigInt(320 * mebibyte) },
  });
  assert.equal(size(), 320);
  await stage(256);
  assert.equal(size(), 320);
  await client.node.nodeUnstageVolume({ volumeId, stagingTargetPath });
  await stage(384);
  assert.equal(size(), 384);
  await client.node.nodeUnstageVolume({ volumeId, stagingTargetPath });
});
