import assert from "node:assert/strict";
import { type DriverSuite, failsWith, type Spec } from "./driver-suite.ts";

/** Takes a snapshot, and waits until the driver says that it can be used. */
export async function takeSnapshot(suite: DriverSuite, sourceVolumeId: string, name = suite.newName()) {
  const { snapshot } = await suite.client.controller.createSnapshot({ sourceVolumeId, name });
  assert.ok(snapshot !== undefined, "CreateSnapshot answers with a snapshot");
  assert.equal(snapshot.sourceVolumeId, sourceVolumeId);
  assert.ok(snapshot.creationTime !== undefined);
  const { accessibleTopology } = await suite.client.node.nodeGetInfo({});
  for (const { segments } of snapshot.accessibleTopology)
    assert.deepEqual({ ...segments }, { ...accessibleTopology?.segments }, "the snapshot is where its node is");
  return snapshot;
}

/** How snapshots come and go; what is in them is looked at in content-specs.ts. */
export function snapshotSpecs(spec: Spec): void {
  spec(
    "a snapshot asked for again is the same one, and of another volume it is ALREADY_EXISTS",
    async (suite, context) => {
      if (suite.lacks(context, "CREATE_DELETE_SNAPSHOT")) return;
      const { controller } = suite.client;
      const [one, other] = [await suite.create(), await suite.create()];
      const name = suite.newName();
      const first = await takeSnapshot(suite, one.volumeId, name);
      const second = await takeSnapshot(suite, one.volumeId, name);
      assert.equal(first.snapshotId, second.snapshotId);
      assert.deepEqual(first.creationTime, second.creationTime);
      const taken = controller.createSnapshot({ sourceVolumeId: other.volumeId, name });
      await assert.rejects(taken, failsWith("already-exists"));
      for (let turn = 0; turn < 2; turn += 1) await controller.deleteSnapshot({ snapshotId: first.snapshotId });
      for (const { volumeId } of [one, other]) await suite.remove(volumeId);
    },
  );

  spec(
    "a snapshot of an unknown volume is NOT_FOUND, and one without name or source INVALID_ARGUMENT",
    async (suite, context) => {
      if (suite.lacks(context, "CREATE_DELETE_SNAPSHOT")) return;
      const { controller } = suite.client;
      await assert.rejects(
        controller.createSnapshot({ sourceVolumeId: "never-was", name: "n" }),
        failsWith("not-found"),
      );
      await assert.rejects(controller.createSnapshot({ sourceVolumeId: "v" }), failsWith("invalid"));
      await assert.rejects(controller.createSnapshot({ name: "n" }), failsWith("invalid"));
      await assert.rejects(controller.deleteSnapshot({ snapshotId: "" }), failsWith("invalid"));
      await controller.deleteSnapshot({ snapshotId: "never-was" });
      await controller.deleteSnapshot({ snapshotId: "../../etc" }).catch(failsWith("invalid"));
    },
  );

  spec("snapshots are listed in pages, by volume and by id", async (suite, context) => {
    if (suite.lacks(context, "LIST_SNAPSHOTS")) return;
    const { controller } = suite.client;
    const { volumeId } = await suite.create();
    const taken = [await takeSnapshot(suite, volumeId), await takeSnapshot(suite, volumeId)].map(
      (each) => each.snapshotId,
    );
    const seen: string[] = [];
    let startingToken = "";
    do {
      const page = await controller.listSnapshots({ maxEntries: 1, startingToken, sourceVolumeId: volumeId });
      assert.ok(page.entries.length <= 1);
      for (const { snapshot } of page.entries) seen.push(snapshot?.snapshotId ?? "");
      startingToken = page.nextToken;
    } while (startingToken !== "");
    assert.deepEqual(seen.toSorted(), taken.toSorted());
    const [snapshotId = ""] = taken;
    const byId = await controller.listSnapshots({ snapshotId });
    assert.deepEqual(
      byId.entries.map(({ snapshot }) => snapshot?.snapshotId),
      [snapshotId],
    );
    for (const filter of [{ snapshotId: "never-was" }, { sourceVolumeId: "never-was" }])
      assert.equal((await controller.listSnapshots(filter)).entries.length, 0);
    await assert.rejects(controller.listSnapshots({ startingToken: "no token" }), failsWith("aborted"));
    for (const id of taken) await controller.deleteSnapshot({ snapshotId: id });
    await suite.remove(volumeId);
  });

  spec("a snapshot is told by its id, and one that is gone is NOT_FOUND", async (suite, context) => {
    if (suite.lacks(context, "GET_SNAPSHOT")) return;
    const { controller } = suite.client;
    const { volumeId } = await suite.create();
    const { snapshotId, sizeBytes } = await takeSnapshot(suite, volumeId);
    assert.equal((await controller.getSnapshot({ snapshotId })).snapshot?.sizeBytes, sizeBytes);
    await controller.deleteSnapshot({ snapshotId });
    await assert.rejects(controller.getSnapshot({ snapshotId }), failsWith("not-found"));
    await suite.remove(volumeId);
  });
}
