import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { PluginCapability_Service_Type as Service } from "@tripod/api/csi";
import { fromSnapshot } from "./content-specs.ts";
import { type DriverSuite, failsWith, type Spec } from "./driver-suite.ts";

const lacksGroups = ({ services }: DriverSuite, context: TestContext): boolean => {
  if (services.has(Service.GROUP_CONTROLLER_SERVICE)) return false;
  context.skip("the driver has no GROUP_CONTROLLER_SERVICE");
  return true;
};

/** Snapshots of several volumes at one moment. */
export function groupSpecs(spec: Spec): void {
  spec("a group snapshot holds all its volumes at one moment, while they are written", async (suite, context) => {
    if (lacksGroups(suite, context)) return;
    const { groupController } = suite.client;
    const sources = [await suite.create(), await suite.create()];
    const [one, other] = [await suite.publish(sources[0]!), await suite.publish(sources[1]!)];
    for (const { targetPath } of [one, other]) writeFileSync(join(targetPath, "file"), "moment");
    const sourceVolumeIds = sources.map(({ volumeId }) => volumeId);
    const name = suite.newName();
    const take = () => groupController.createVolumeGroupSnapshot({ name, sourceVolumeIds });
    const { groupSnapshot } = await take();
    for (const { targetPath } of [one, other]) writeFileSync(join(targetPath, "file"), "later");
    assert.ok(groupSnapshot !== undefined);
    const { groupSnapshotId, snapshots } = groupSnapshot;
    assert.deepEqual(snapshots.map((each) => each.sourceVolumeId).toSorted(), sourceVolumeIds.toSorted());
    assert.ok(snapshots.every((each) => each.groupSnapshotId === groupSnapshotId));
    assert.equal((await take()).groupSnapshot?.groupSnapshotId, groupSnapshotId);
    const snapshotIds = snapshots.map((each) => each.snapshotId);
    const got = await groupController.getVolumeGroupSnapshot({ groupSnapshotId, snapshotIds });
    assert.equal(got.groupSnapshot?.snapshots.length, 2);
    for (const { undo } of [one, other]) await undo();
    for (const snapshotId of snapshotIds) {
      const restored = await suite.create(suite.newName(), fromSnapshot(snapshotId));
      await suite.with(restored, (path) => assert.equal(readFileSync(join(path, "file"), "utf8"), "moment"));
      await suite.remove(restored.volumeId);
    }
    for (let turn = 0; turn < 2; turn += 1)
      await groupController.deleteVolumeGroupSnapshot({ groupSnapshotId, snapshotIds });
    const gone = groupController.getVolumeGroupSnapshot({ groupSnapshotId, snapshotIds });
    await assert.rejects(gone, failsWith("not-found"));
    for (const volumeId of sourceVolumeIds) await suite.remove(volumeId);
  });

  spec("a group with an unknown volume is NOT_FOUND and leaves no snapshot", async (suite, context) => {
    if (lacksGroups(suite, context)) return;
    const { volumeId } = await suite.create();
    const request = { name: suite.newName(), sourceVolumeIds: [volumeId, "never-was"] };
    await assert.rejects(suite.client.groupController.createVolumeGroupSnapshot(request), failsWith("not-found"));
    if (suite.controllerRpcs.has(6)) {
      const left = await suite.client.controller.listSnapshots({ sourceVolumeId: volumeId });
      assert.equal(left.entries.length, 0);
    }
    await suite.remove(volumeId);
  });
}
