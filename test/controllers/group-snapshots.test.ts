import assert from "node:assert/strict";
import { test } from "node:test";
import type { VolumeGroupSnapshot, VolumeSnapshot } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import {
  events,
  persistentVolumeClaims,
  volumeGroupSnapshotContents,
  volumeGroupSnapshots,
  volumeSnapshotContents,
  volumeSnapshots,
} from "@tripod/kube";
import { type GroupPlane, makeGroup, startGroupPlane } from "./group-plane.ts";
import { driverName } from "./memory-driver.ts";

const where = { namespace: "default" };
const inDefault = (name: string) => ({ name, ...where });
const isReady = (object: VolumeGroupSnapshot | VolumeSnapshot | undefined): boolean =>
  object?.status?.readyToUse === true;
const sourceFinalizer = "snapshot.storage.kubernetes.io/pvc-as-source-protection";

async function reasons(plane: GroupPlane, about: string): Promise<string[]> {
  const { items } = await plane.client.resource(events).list({ fieldSelector: `involvedObject.name=${about}` });
  return items.map((event) => event.reason ?? "");
}

for (const reads of ["get", "no"] as const)
  test(`a group is taken in one call, shown as snapshots, and goes as one (driver reads single ones: ${reads})`, async () => {
    await using stack = new AsyncDisposableStack();
    const plane = await startGroupPlane(stack, { policy: "Delete", reads });
    const { client, until, taken } = plane;
    taken.asksUntilReady = 3;
    await makeGroup(plane, "group");
    await until(
      persistentVolumeClaims,
      inDefault("a"),
      (claim) => claim?.metadata.finalizers?.includes(sourceFinalizer) === true,
    );
    const group = await until(volumeGroupSnapshots, inDefault("group"), isReady);
    assert.equal(group?.status?.creationTime, "2023-11-14T22:13:20Z");
    assert.equal(taken.takeCalls, 1);
    const { items } = await client.resource(volumeSnapshots).list(where);
    assert.deepEqual(new Set(items.map(({ spec }) => spec.source.persistentVolumeClaimName)), new Set(["a", "b"]));
    for (const { metadata } of items) {
      const member = await until(volumeSnapshots, inDefault(metadata.name), isReady);
      assert.equal(member?.status?.volumeGroupSnapshotName, "group");
      assert.equal(member?.status?.restoreSize, "1Gi");
      assert.equal(member?.metadata.ownerReferences?.[0]?.uid, group?.metadata.uid);
    }
    for (const name of ["a", "b"])
      await until(
        persistentVolumeClaims,
        inDefault(name),
        (claim) => claim?.metadata.finalizers?.includes(sourceFinalizer) === false,
      );
    assert.deepEqual(
      (await reasons(plane, "group")).filter((reason) => !reason.includes("Failed")),
      ["CreatingGroupSnapshot", "GroupSnapshotCreated", "GroupSnapshotReady"],
    );

    // One of a group does not go alone.
    const [first] = items;
    await client.resource(volumeSnapshots).delete(first?.metadata.name ?? "", where);
    await client
      .resource(volumeSnapshots)
      .patch(first?.metadata.name ?? "", { metadata: { labels: { a: "b" } } }, where);
    assert.equal(taken.snapshots.size, 2);
    await client.resource(volumeGroupSnapshots).delete("group", where);
    await until(volumeGroupSnapshots, inDefault("group"), (each) => each === undefined);
    assert.equal(taken.snapshots.size, 0);
    for (const { metadata } of items)
      await until(volumeSnapshots, inDefault(metadata.name), (each) => each === undefined);
    assert.deepEqual((await client.resource(volumeSnapshotContents).list()).items, []);
    assert.deepEqual((await client.resource(volumeGroupSnapshotContents).list()).items, []);
    assert.ok((await reasons(plane, first?.metadata.name ?? "")).includes("SnapshotDeletePending"));
  });

test("a group waits for claims and says so; kept, its content can be given to another group by hand", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await startGroupPlane(stack, { policy: "Retain" });
  const { client, until, taken } = plane;
  const failed = (name: string, message: RegExp) =>
    until(volumeGroupSnapshots, inDefault(name), (each) => message.test(each?.status?.error?.message ?? ""));
  await makeGroup(plane, "nothing", "none");
  await failed("nothing", /its selector takes no claim/);
  taken.failures.push(new TripodError("internal", "the array is on fire"));
  const made = await makeGroup(plane, "group");
  await failed("group", /Failed to create snapshot: the array is on fire/);
  await until(volumeGroupSnapshots, inDefault("group"), isReady);
  assert.ok((await reasons(plane, "group")).includes("GroupSnapshotCreationFailed"));
  await client.resource(volumeGroupSnapshots).delete("group", where);
  await until(volumeGroupSnapshots, inDefault("group"), (each) => each === undefined);
  const kept = await client.resource(volumeGroupSnapshotContents).get(`groupsnapcontent-${made.metadata.uid}`);
  assert.equal(taken.snapshots.size, 2);

  const handles = kept.status?.volumeSnapshotInfoList?.map(({ snapshotHandle = "" }) => snapshotHandle) ?? [];
  await client.resource(volumeGroupSnapshotContents).create({
    metadata: { name: "byhand" },
    spec: {
      driver: driverName,
      deletionPolicy: "Delete",
      source: {
        groupSnapshotHandles: {
          volumeGroupSnapshotHandle: kept.status?.volumeGroupSnapshotHandle ?? "",
          volumeSnapshotHandles: handles,
        },
      },
      volumeGroupSnapshotRef: inDefault("given"),
    },
  });
  await client.resource(volumeGroupSnapshots).create({
    metadata: inDefault("given"),
    spec: { source: { volumeGroupSnapshotContentName: "byhand" } },
  });
  await client.resource(volumeSnapshotContents).create({
    metadata: { name: "member" },
    spec: {
      driver: driverName,
      deletionPolicy: "Delete",
      source: { snapshotHandle: handles[0] ?? "" },
      volumeSnapshotRef: inDefault("member"),
    },
  });
  await client.resource(volumeSnapshots).create({
    metadata: inDefault("member"),
    spec: { source: { volumeSnapshotContentName: "member" } },
  });
  await until(volumeGroupSnapshots, inDefault("given"), isReady);
  // It belongs to the old content's group as well, which comes first by no rule: whichever is named, it has an owner.
  await client.resource(volumeGroupSnapshotContents).delete(kept.metadata.name);
  await until(volumeGroupSnapshotContents, { name: kept.metadata.name }, (each) => each === undefined);
  await client.resource(volumeGroupSnapshots).delete("given", where);
  await until(volumeGroupSnapshots, inDefault("given"), (each) => each === undefined);
  assert.equal(taken.snapshots.size, 0);
});
