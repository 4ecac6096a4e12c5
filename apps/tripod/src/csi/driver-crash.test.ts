import assert from "node:assert/strict";
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, readSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { VolumeCapability_AccessMode_Mode as Mode } from "@tripod/api/csi";
import { connectDriver, type CsiDriverClient } from "@tripod/csi";
import { isRoot, loopDevices, mountInfo } from "@tripod/linux";
import { TemporaryFolder } from "@tripod/linux/testing";
import { until } from "@tripod/testing";
import { startDriver } from "./driver-process-fixture.ts";

const mebibyte = 1024n * 1024n;
const accessMode = { mode: Mode.SINGLE_NODE_WRITER };
const mounted = { accessType: { case: "mount" as const, value: {} }, accessMode };
const block = { accessType: { case: "block" as const, value: {} }, accessMode };
const capacityRange = { requiredBytes: 8n * mebibyte };

/** Publishes a volume, staged first where the driver stages, lets `use` work with it, and takes it back. */
async function published(
  { node }: CsiDriverClient,
  {
    folder,
    volumeId,
    capability,
  }: { folder: TemporaryFolder; volumeId: string; capability: typeof mounted | typeof block },
  use: (targetPath: string) => Promise<void> | void,
): Promise<void> {
  const [stagingTargetPath, targetPath] = [folder.join(`staging-${volumeId}`), folder.join("pods", volumeId)];
  const stages = (await node.nodeGetCapabilities({})).capabilities.some(({ type }) => type.value?.type === 1);
  mkdirSync(folder.join("pods"), { recursive: true });
  if (stages) await node.nodeStageVolume({ volumeId, stagingTargetPath, volumeCapability: capability });
  const request = { volumeId, targetPath, volumeCapability: capability };
  await node.nodePublishVolume({ ...request, stagingTargetPath: stages ? stagingTargetPath : "" });
  await use(targetPath);
  await node.nodeUnpublishVolume({ volumeId, targetPath });
  if (stages) await node.nodeUnstageVolume({ volumeId, stagingTargetPath });
}

/** All that happens to volumes, with what is in them looked at. Every step may be asked for again after a crash. */
async function life(folder: TemporaryFolder): Promise<void> {
  using client = connectDriver(folder.join("csi.sock"), { timeoutMs: 30_000 });
  const { controller, groupController, node } = client;
  const create = async (name: string, more: object = {}): Promise<string> => {
    const request = { name, capacityRange, volumeCapabilities: [mounted], ...more };
    return (await controller.createVolume(request)).volume?.volumeId ?? "";
  };
  const first = await create("first");
  let snapshotId = "";
  await published(client, { folder, volumeId: first, capability: mounted }, async (path) => {
    writeFileSync(join(path, "file"), "kept");
    snapshotId =
      (await controller.createSnapshot({ name: "snapshot", sourceVolumeId: first })).snapshot?.snapshotId ?? "";
  });
  const source = { type: { case: "snapshot" as const, value: { snapshotId } } };
  const second = await create("second", { volumeContentSource: source });
  await published(client, { folder, volumeId: second, capability: mounted }, (path) =>
    assert.equal(readFileSync(join(path, "file"), "utf8"), "kept"),
  );
  const { groupSnapshot } = await groupController.createVolumeGroupSnapshot({
    name: "group",
    sourceVolumeIds: [first, second],
  });
  assert.equal(groupSnapshot?.snapshots.length, 2);
  await controller.controllerExpandVolume({ volumeId: second, capacityRange: { requiredBytes: 16n * mebibyte } });
  const raw = await create("raw", { volumeCapabilities: [block] });
  await published(client, { folder, volumeId: raw, capability: block }, (path) => {
    const device = openSync(path, "r+");
    try {
      writeSync(device, "block", 0);
      const read = Buffer.alloc(5);
      readSync(device, read, 0, 5, 0);
      assert.equal(read.toString(), "block");
    } finally {
      closeSync(device);
    }
  });
  const inline = { volumeId: "csi-inline", targetPath: folder.join("pods/inline") };
  const volumeContext = { "csi.storage.k8s.io/ephemeral": "true", size: "8Mi" };
  await node.nodePublishVolume({ ...inline, volumeCapability: mounted, volumeContext });
  await node.nodeUnpublishVolume(inline);
  await groupController.deleteVolumeGroupSnapshot({
    groupSnapshotId: groupSnapshot?.groupSnapshotId ?? "",
    snapshotIds: groupSnapshot?.snapshots.map((each) => each.snapshotId) ?? [],
  });
  await controller.deleteSnapshot({ snapshotId });
  for (const volumeId of [first, second, raw]) await controller.deleteVolume({ volumeId });
}

async function assertNothingLeft(folder: TemporaryFolder): Promise<void> {
  for (const name of ["volumes", "snapshots", "making"])
    assert.deepEqual(readdirSync(folder.join("state", name)), [], name);
  assert.deepEqual(readdirSync(folder.join("pods")), []);
  const under = (path: string): boolean => path.startsWith(folder.path);
  assert.deepEqual(
    mountInfo().filter(({ mountPoint }) => under(mountPoint)),
    [],
  );
  // Whoever has just looked at a device keeps it for a moment after its last mount.
  await until("no loop device is left", () => !loopDevices().some(({ backingFile }) => under(backingFile)));
}

const common = [
  "csi.local.create.made",
  "csi.local.create.recorded",
  "csi.local.publish.recorded",
  "csi.local.publish.target-made",
  "csi.local.publish.opened",
  "csi.local.publish.mounted",
  "csi.local.snapshot.taken",
  "csi.local.snapshot.recorded",
  "csi.local.unpublish.unmounted",
  "csi.local.unpublish.target-removed",
  "csi.local.unpublish.closed",
  "csi.local.group.taken",
  "csi.local.group.snapshot-deleted",
  "csi.local.delete-snapshot.marked",
  "csi.local.delete-snapshot.data-gone",
  "csi.local.delete.marked",
  "csi.local.delete.data-gone",
];
const failpoints = {
  hostpath: ["hostpath.create.copied", "hostpath.snapshot.copied", ...common],
  loop: [
    "loop.create.copied",
    "loop.create.file-system-made",
    "loop.stage.ready",
    "loop.stage.mounted",
    "csi.local.staged",
    "loop.snapshot.frozen",
    "loop.snapshot.copied",
    "csi.local.unstaged",
    ...common,
  ],
};

for (const [driver, names] of Object.entries(failpoints))
  describe(`${driver} killed`, { skip: isRoot() ? false : "mounting needs root", concurrency: 2 }, () => {
    for (const failpoint of names)
      test(`at ${failpoint}, the same calls asked for again end well and leave nothing`, async () => {
        using folder = new TemporaryFolder("csi-crash");
        {
          await using killed = await startDriver(folder, { driver, failpoint });
          await assert.rejects(life(folder));
          assert.equal(await killed.ended, "SIGKILL");
        }
        await using again = await startDriver(folder, { driver });
        await life(folder);
        await assertNothingLeft(folder);
        again.child.kill("SIGTERM");
        assert.equal(await again.ended, 0);
      });
  });

test("what was begun and never asked for again is gone after a restart", {
  skip: isRoot() ? false : "needs root",
}, async () => {
  for (const driver of ["hostpath", "loop"]) {
    using folder = new TemporaryFolder("csi-crash");
    {
      await using killed = await startDriver(folder, { driver, failpoint: "csi.local.create.made" });
      await assert.rejects(life(folder));
      await killed.ended;
    }
    assert.equal(readdirSync(folder.join("state/volumes")).length, 1);
    await using _again = await startDriver(folder, { driver });
    assert.deepEqual(readdirSync(folder.join("state/volumes")), []);
  }
});
