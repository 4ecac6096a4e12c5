import assert from "node:assert/strict";
import { test } from "node:test";
import {
  persistentVolumeClaims,
  volumeGroupSnapshotContents,
  volumeGroupSnapshots,
  volumeSnapshotContents,
  volumeSnapshots,
} from "@tripod/kube";
import { doomedControllers, untilKilled } from "./doomed-controllers.ts";
import { makeGroup, startGroupPlane } from "./group-plane.ts";
import { driverName } from "./memory-driver.ts";

const where = { namespace: "default" };
const inDefault = (name: string) => ({ name, ...where });

const whileTaking = [
  "controllers.group-snapshots.held",
  "controllers.group-snapshots.claims-held",
  "controllers.group-snapshots.content-made",
  "controllers.group-snapshots.member-made",
  "controllers.group-snapshots.member-content-made",
  "controllers.group-snapshots.member-recorded",
  "controllers.group-snapshots.reported",
  "controllers.group-snapshot-contents.marked",
  "controllers.group-snapshot-contents.taken",
  "controllers.group-snapshot-contents.recorded",
];
const whileDeleting = [
  "controllers.group-snapshots.content-marked",
  "controllers.group-snapshots.content-deleted",
  "controllers.group-snapshots.members-deleted",
  "controllers.group-snapshot-contents.deleted",
];
for (const [failpoint, step] of [
  ...whileTaking.map((each) => [each, "taking"] as const),
  ...whileTaking.slice(1).map((each) => [each, "taking, and the group then deleted"] as const),
  ...whileDeleting.map((each) => [each, "deleting"] as const),
])
  test(`${step}: controllers killed at ${failpoint} leave one group, and nothing after its deletion`, async () => {
    await using stack = new AsyncDisposableStack();
    const plane = await startGroupPlane(stack, { policy: "Delete" });
    const { client, until, taken } = plane;
    if (step !== "deleting") await plane.stopControllers();
    const doomed = step === "deleting" ? undefined : doomedControllers(stack, plane, failpoint);
    await makeGroup(plane, "group");
    if (doomed !== undefined) await untilKilled(doomed, failpoint);
    if (step !== "taking, and the group then deleted") {
      if (doomed !== undefined) await plane.restartControllers();
      await until(volumeGroupSnapshots, inDefault("group"), (each) => each?.status?.readyToUse === true);
      assert.equal(taken.snapshots.size, 2);
      assert.equal((await client.resource(volumeSnapshotContents).list()).items.length, 2);
    }
    if (step === "deleting") await plane.stopControllers();
    const second = step === "deleting" ? doomedControllers(stack, plane, failpoint) : undefined;
    await client.resource(volumeGroupSnapshots).delete("group", where);
    if (second !== undefined) await untilKilled(second, failpoint);
    if (step !== "taking") await plane.restartControllers();
    await until(volumeGroupSnapshots, inDefault("group"), (each) => each === undefined);
    assert.equal(taken.snapshots.size, 0);
    for (const { metadata } of (await client.resource(volumeSnapshots).list(where)).items)
      await until(volumeSnapshots, inDefault(metadata.name), (each) => each === undefined);
    assert.deepEqual((await client.resource(volumeSnapshotContents).list()).items, []);
    assert.deepEqual((await client.resource(volumeGroupSnapshotContents).list()).items, []);
    for (const name of ["a", "b"]) {
      await client.resource(persistentVolumeClaims).delete(name, where);
      await until(persistentVolumeClaims, inDefault(name), (claim) => claim === undefined);
    }
  });

test("controllers killed at controllers.group-snapshots.content-bound give a content made by hand to its group once", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await startGroupPlane(stack, { policy: "Retain" });
  const { client, until } = plane;
  await plane.stopControllers();
  const failpoint = "controllers.group-snapshots.content-bound";
  const doomed = doomedControllers(stack, plane, failpoint);
  await client.resource(volumeGroupSnapshotContents).create({
    metadata: { name: "byhand" },
    spec: {
      driver: driverName,
      deletionPolicy: "Retain",
      source: { groupSnapshotHandles: { volumeGroupSnapshotHandle: "old", volumeSnapshotHandles: ["member"] } },
      volumeGroupSnapshotRef: inDefault("group"),
    },
  });
  const made = await client
    .resource(volumeGroupSnapshots)
    .create({ metadata: inDefault("group"), spec: { source: { volumeGroupSnapshotContentName: "byhand" } } });
  await untilKilled(doomed, failpoint);
  await plane.restartControllers();
  const bound = await until(
    volumeGroupSnapshots,
    inDefault("group"),
    (each) => each?.status?.boundVolumeGroupSnapshotContentName === "byhand",
  );
  assert.equal(bound?.metadata.uid, made.metadata.uid);
  const content = await client.resource(volumeGroupSnapshotContents).get("byhand");
  assert.equal(content.spec.volumeGroupSnapshotRef.uid, made.metadata.uid);
  await client.resource(volumeGroupSnapshots).delete("group", where);
  await until(volumeGroupSnapshots, inDefault("group"), (each) => each === undefined);
  assert.equal((await client.resource(volumeGroupSnapshotContents).list()).items.length, 1);
});
