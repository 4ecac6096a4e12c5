import assert from "node:assert/strict";
import { test } from "node:test";
import {
  persistentVolumeClaims,
  storageClasses,
  volumeSnapshotClasses,
  volumeSnapshotContents,
  volumeSnapshots,
} from "@tripod/kube";
import { addNode, startControlPlane } from "./control-plane.ts";
import { doomedControllers, untilKilled } from "./doomed-controllers.ts";
import { driverName, MemoryDriver } from "./memory-driver.ts";
import { MemorySnapshots } from "./memory-snapshots.ts";

const where = { namespace: "default" };
const snap = { name: "snap", ...where };

const whileTaking = [
  "controllers.snapshots.held",
  "controllers.snapshots.claims-held",
  "controllers.snapshots.content-made",
  "controllers.snapshots.reported",
  "controllers.snapshot-contents.marked",
  "controllers.snapshot-contents.taken",
  "controllers.snapshot-contents.recorded",
];
const whileDeleting = [
  "controllers.snapshots.content-marked",
  "controllers.snapshots.content-deleted",
  "controllers.snapshots.released",
  "controllers.snapshot-contents.deleted",
];
/** Killed while it is taken, and deleted before anybody else comes. */
const thenDeleted = whileTaking.filter((failpoint) => failpoint !== "controllers.snapshots.held");

const cases = [
  ...whileTaking.map((failpoint) => ({ failpoint, step: "taking" as const })),
  ...thenDeleted.map((failpoint) => ({ failpoint, step: "taking, and the snapshot then deleted" as const })),
  ...whileDeleting.map((failpoint) => ({ failpoint, step: "deleting" as const })),
];
for (const { failpoint, step } of cases)
  test(`${step}: controllers killed at ${failpoint} leave one snapshot, and none after its deletion`, async () => {
    await using stack = new AsyncDisposableStack();
    const plane = await startControlPlane(stack);
    const { client, until } = plane;
    const driver = new MemoryDriver();
    const taken = new MemorySnapshots();
    await addNode(client, "n1");
    await driver.start(stack, plane.layout, client, { nodes: ["n1"], snapshots: taken });
    await client.resource(storageClasses).create({ metadata: { name: "now" }, provisioner: driverName });
    await client
      .resource(volumeSnapshotClasses)
      .create({ metadata: { name: "fast" }, driver: driverName, deletionPolicy: "Delete" });
    await client.resource(persistentVolumeClaims).create({
      metadata: { name: "data", ...where },
      spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, storageClassName: "now" },
    });
    await until(persistentVolumeClaims, { name: "data", ...where }, (claim) => claim?.status?.phase === "Bound");

    if (step !== "deleting") await plane.stopControllers();
    const doomed = step === "deleting" ? undefined : doomedControllers(stack, plane, failpoint);
    await client.resource(volumeSnapshots).create({
      metadata: snap,
      spec: { source: { persistentVolumeClaimName: "data" }, volumeSnapshotClassName: "fast" },
    });
    if (doomed !== undefined) await untilKilled(doomed, failpoint);
    if (step !== "taking, and the snapshot then deleted") {
      if (doomed !== undefined) await plane.restartControllers();
      await until(volumeSnapshots, snap, (each) => each?.status?.readyToUse === true);
      assert.equal(taken.snapshots.size, 1);
      assert.equal((await client.resource(volumeSnapshotContents).list()).items.length, 1);
    }

    if (step === "deleting") await plane.stopControllers();
    const second = step === "deleting" ? doomedControllers(stack, plane, failpoint) : undefined;
    await client.resource(volumeSnapshots).delete("snap", where);
    if (second !== undefined) await untilKilled(second, failpoint);
    if (step !== "taking") await plane.restartControllers();
    await until(volumeSnapshots, snap, (each) => each === undefined);
    assert.equal(taken.snapshots.size, 0);
    assert.deepEqual((await client.resource(volumeSnapshotContents).list()).items, []);
    await client.resource(persistentVolumeClaims).delete("data", where);
    await until(persistentVolumeClaims, { name: "data", ...where }, (claim) => claim === undefined);
  });

test("controllers killed at controllers.snapshots.content-bound give a content made by hand to its snapshot once", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await startControlPlane(stack);
  const { client, until } = plane;
  const taken = new MemorySnapshots();
  await addNode(client, "n1");
  await new MemoryDriver().start(stack, plane.layout, client, { nodes: ["n1"], snapshots: taken });
  await plane.stopControllers();
  const failpoint = "controllers.snapshots.content-bound";
  const doomed = doomedControllers(stack, plane, failpoint);
  await client.resource(volumeSnapshotContents).create({
    metadata: { name: "byhand" },
    spec: {
      driver: driverName,
      deletionPolicy: "Retain",
      source: { snapshotHandle: "old" },
      volumeSnapshotRef: snap,
    },
  });
  const made = await client
    .resource(volumeSnapshots)
    .create({ metadata: snap, spec: { source: { volumeSnapshotContentName: "byhand" } } });
  await untilKilled(doomed, failpoint);
  await plane.restartControllers();
  const bound = await until(volumeSnapshots, snap, (each) => each?.status?.boundVolumeSnapshotContentName === "byhand");
  assert.equal(bound?.metadata.uid, made.metadata.uid);
  const content = await client.resource(volumeSnapshotContents).get("byhand");
  assert.equal(content.spec.volumeSnapshotRef.uid, made.metadata.uid);
  await client.resource(volumeSnapshots).delete("snap", where);
  await until(volumeSnapshots, snap, (each) => each === undefined);
  assert.equal((await client.resource(volumeSnapshotContents).list()).items.length, 1);
});
