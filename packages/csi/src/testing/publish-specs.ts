import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NodeServiceCapability_RPC_Type as NodeRpc, VolumeUsage_Unit as Unit } from "@tripod/api/csi";
import { mountInfo } from "@tripod/linux";
import { failsWith, type Spec } from "./driver-suite.ts";

/** What is in volumes while they are published, and what publishing refuses. */
export function publishSpecs(spec: Spec): void {
  spec("what is written stays, through unpublish and publish", async (suite) => {
    const volume = await suite.create();
    const first = await suite.publish(volume);
    writeFileSync(join(first.targetPath, "file"), "lasting");
    await first.undo();
    assert.equal(existsSync(first.targetPath), false, "the target is removed");
    const second = await suite.publish(volume);
    assert.equal(readFileSync(join(second.targetPath, "file"), "utf8"), "lasting");
    await second.undo();
    await suite.remove(volume.volumeId);
  });

  spec("a new volume is empty even after one of the same name was deleted", async (suite) => {
    const volumeName = suite.newName();
    const first = await suite.create(volumeName);
    const published = await suite.publish(first);
    writeFileSync(join(published.targetPath, "old"), "data");
    await published.undo();
    await suite.remove(first.volumeId);
    const second = await suite.create(volumeName);
    const again = await suite.publish(second);
    assert.equal(existsSync(join(again.targetPath, "old")), false);
    await again.undo();
    await suite.remove(second.volumeId);
  });

  spec("publishing and unpublishing can be repeated; publishing otherwise is ALREADY_EXISTS", async (suite) => {
    const volume = await suite.create();
    const { request, targetPath, undo } = await suite.publish(volume);
    writeFileSync(join(targetPath, "file"), "x");
    await suite.client.node.nodePublishVolume(request);
    assert.ok(existsSync(join(targetPath, "file")));
    await assert.rejects(
      suite.client.node.nodePublishVolume({ ...request, readonly: true }),
      failsWith("already-exists"),
    );
    await undo();
    await suite.client.node.nodeUnpublishVolume({ volumeId: volume.volumeId, targetPath });
    await suite.remove(volume.volumeId);
  });

  spec("a staged volume is not staged with another file system", async (suite, context) => {
    if (!suite.stages || suite.driver.fsType === undefined)
      return context.skip("the driver does not stage, or no file system is told of it");
    const volume = await suite.create();
    const { stagingTargetPath, request, undo } = await suite.publish(volume);
    const fsType = suite.driver.fsType === "ext4" ? "xfs" : "ext4";
    const { accessMode } = suite.capability();
    const volumeCapability = { accessType: { case: "mount" as const, value: { fsType } }, accessMode };
    const { volumeId, volumeContext } = volume;
    const { publishContext = {} } = request;
    const common = { volumeId, volumeContext, publishContext, stagingTargetPath };
    const staged = suite.client.node.nodeStageVolume({ ...common, volumeCapability });
    await assert.rejects(staged, failsWith("already-exists", "invalid"));
    await undo();
    await suite.remove(volumeId);
  });

  spec("a volume that is published read-only cannot be written", async (suite) => {
    const volume = await suite.create();
    const { targetPath, undo } = await suite.publish(volume, { readonly: true });
    assert.throws(() => writeFileSync(join(targetPath, "file"), "x"), /EROFS/);
    await undo();
    await suite.remove(volume.volumeId);
  });

  spec("a volume is mounted with the flags of its capability", async (suite, context) => {
    const { mountFlags = [] } = suite.driver;
    if (mountFlags.length === 0) return context.skip("no mount flags are told of the driver");
    const volume = await suite.create();
    const mounted = (path: string) => mountInfo().findLast(({ mountPoint }) => mountPoint === path);
    await suite.with(
      volume,
      (path) => {
        for (const flag of mountFlags) assert.ok(mounted(path)?.options.includes(flag), flag);
      },
      { mountFlags },
    );
    await suite.remove(volume.volumeId);
  });

  const badPublishes: { why: string; change: object }[] = [
    { why: "no volume id", change: { volumeId: "" } },
    { why: "no target path", change: { targetPath: "" } },
    { why: "no capability", change: { volumeCapability: undefined } },
    { why: "a relative target path", change: { targetPath: "target" } },
    { why: "a target path with ..", change: { targetPath: "/tmp/../etc/csi-conformance" } },
  ];
  for (const { why, change } of badPublishes) {
    spec(`publishing with ${why} is refused`, async (suite) => {
      const volume = await suite.create();
      const request = {
        volumeId: volume.volumeId,
        targetPath: join(suite.dir, "bad"),
        volumeCapability: suite.capability(),
      };
      await assert.rejects(suite.client.node.nodePublishVolume({ ...request, ...change }), failsWith("invalid"));
      await suite.remove(volume.volumeId);
    });
  }

  spec("statistics of a published volume add up, and of another path are NOT_FOUND", async (suite, context) => {
    if (!suite.nodeRpcs.has(NodeRpc.GET_VOLUME_STATS)) {
      context.skip("the driver has no GET_VOLUME_STATS");
      return;
    }
    const volume = await suite.create();
    const { targetPath, undo } = await suite.publish(volume);
    const { usage } = await suite.client.node.nodeGetVolumeStats({ volumeId: volume.volumeId, volumePath: targetPath });
    const bytes = usage.find(({ unit }) => unit === Unit.BYTES);
    assert.ok(bytes !== undefined && bytes.total > 0n && bytes.used <= bytes.total);
    const elsewhere = suite.client.node.nodeGetVolumeStats({ volumeId: volume.volumeId, volumePath: suite.dir });
    await assert.rejects(elsewhere, failsWith("not-found"));
    const unknown = suite.client.node.nodeGetVolumeStats({ volumeId: "never-was", volumePath: targetPath });
    await assert.rejects(unknown, failsWith("not-found"));
    await undo();
    await suite.remove(volume.volumeId);
  });
}
