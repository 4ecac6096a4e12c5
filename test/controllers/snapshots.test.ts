import assert from "node:assert/strict";
import { test } from "node:test";
import type { Stored, VolumeSnapshot } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import {
  events,
  persistentVolumeClaims,
  secrets,
  storageClasses,
  volumeSnapshotClasses,
  volumeSnapshotContents,
  volumeSnapshots,
} from "@tripod/kube";
import { addNode, type ControlPlane, startControlPlane } from "./control-plane.ts";
import { driverName, MemoryDriver } from "./memory-driver.ts";
import { MemorySnapshots } from "./memory-snapshots.ts";

const inDefault = (name: string) => ({ name, namespace: "default" });
const where = { namespace: "default" };
const sourceFinalizer = "snapshot.storage.kubernetes.io/pvc-as-source-protection";
const ready = (snapshot: VolumeSnapshot | undefined): boolean => snapshot?.status?.readyToUse === true;

interface Plane extends ControlPlane {
  readonly driver: MemoryDriver;
  readonly taken: MemorySnapshots;
}

/** A control plane with a driver that takes snapshots, and a bound claim "data". */
async function withClaim(
  stack: AsyncDisposableStack,
  reads?: "get" | "list" | "no",
  provisioner = driverName,
): Promise<Plane> {
  const plane = await startControlPlane(stack, { standIns: { "ebs.csi.aws.com": driverName } });
  const { client } = plane;
  const driver = new MemoryDriver();
  const taken = new MemorySnapshots(reads);
  await addNode(client, "n1");
  await driver.start(stack, plane.layout, client, { nodes: ["n1"], snapshots: taken });
  await client.resource(storageClasses).create({ metadata: { name: "now" }, provisioner });
  await client.resource(persistentVolumeClaims).create({
    metadata: inDefault("data"),
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, storageClassName: "now" },
  });
  await plane.until(persistentVolumeClaims, inDefault("data"), (claim) => claim?.status?.phase === "Bound");
  return { ...plane, driver, taken };
}

const makeClass = (plane: ControlPlane, name: string, policy: "Delete" | "Retain" = "Delete", more: object = {}) =>
  plane.client
    .resource(volumeSnapshotClasses)
    .create({ metadata: { name }, driver: driverName, deletionPolicy: policy, ...more });

const make = (plane: ControlPlane, name: string, spec: object = {}): Promise<Stored<VolumeSnapshot>> =>
  plane.client.resource(volumeSnapshots).create({
    metadata: inDefault(name),
    spec: { source: { persistentVolumeClaimName: "data" }, ...spec },
  });

async function reasons(plane: ControlPlane, about: string): Promise<string[]> {
  const fieldSelector = `involvedObject.name=${about}`;
  const { items } = await plane.client.resource(events).list({ fieldSelector });
  return items.map((event) => event.reason ?? "");
}

for (const reads of ["get", "list", "no"] as const)
  test(`a snapshot is taken once, looked after until it is ready, and goes with all that belongs to it (${reads})`, async () => {
    await using stack = new AsyncDisposableStack();
    const plane = await withClaim(stack, reads);
    const { client, until, taken } = plane;
    taken.asksUntilReady = 2;
    await makeClass(plane, "fast", "Delete", { parameters: { tier: "ssd", "csi.storage.k8s.io/x": "y" } });
    const made = await make(plane, "snap", { volumeSnapshotClassName: "fast" });
    await until(volumeSnapshots, inDefault("snap"), (each) => each?.status?.creationTime !== undefined && !ready(each));
    const claim = await client.resource(persistentVolumeClaims).get("data", where);
    assert.ok(claim.metadata.finalizers?.includes(sourceFinalizer));
    const snapshot = await until(volumeSnapshots, inDefault("snap"), ready);
    const contentName = `snapcontent-${made.metadata.uid}`;
    assert.deepEqual(snapshot?.status, {
      boundVolumeSnapshotContentName: contentName,
      creationTime: "2023-11-14T22:13:20Z",
      readyToUse: true,
      restoreSize: "1Gi",
    });
    const content = await client.resource(volumeSnapshotContents).get(contentName);
    assert.equal(content.spec.volumeSnapshotRef.uid, made.metadata.uid);
    assert.equal(content.spec.source.volumeHandle, `id-${claim.spec.volumeName}`);
    assert.equal(content.spec.sourceVolumeMode, "Filesystem");
    assert.equal(content.status?.restoreSize, 1024 ** 3);
    assert.equal(taken.asks.length, 2);
    assert.equal(taken.takeCalls, reads === "no" ? 3 : 1);
    assert.deepEqual(taken.takeRequests[0]?.parameters, { tier: "ssd" });
    await until(
      persistentVolumeClaims,
      inDefault("data"),
      (each) => each?.metadata.finalizers?.includes(sourceFinalizer) === false,
    );
    const settled = await until(volumeSnapshotContents, { name: contentName }, (each) => marks(each).length === 0);
    assert.equal(settled?.status?.snapshotHandle, `snap-snapshot-${made.metadata.uid}`);
    assert.deepEqual(await reasons(plane, "snap"), ["CreatingSnapshot", "SnapshotCreated", "SnapshotReady"]);

    await client.resource(volumeSnapshots).delete("snap", where);
    await until(volumeSnapshots, inDefault("snap"), (each) => each === undefined);
    await until(volumeSnapshotContents, { name: contentName }, (each) => each === undefined);
    assert.equal(taken.snapshots.size, 0);
  });

const marks = (object: { metadata: { annotations?: Record<string, string> } } | undefined): string[] =>
  Object.keys(object?.metadata.annotations ?? {});

test("a snapshot waits for its claim, its class and the driver, says for which, and is taken when they are there", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await withClaim(stack);
  const { client, until, taken } = plane;
  const failed = (name: string, message: RegExp) =>
    until(volumeSnapshots, inDefault(name), (each) => message.test(each?.status?.error?.message ?? ""));
  await make(plane, "early");
  await failed("early", /no default class for snapshots of driver memory\.csi\.test/);
  await make(plane, "unclassed", { volumeSnapshotClassName: "later" });
  await failed("unclassed", /there is no VolumeSnapshotClass later/);
  await make(plane, "unclaimed", {
    source: { persistentVolumeClaimName: "other" },
    volumeSnapshotClassName: "later",
  });
  const isDefault = { annotations: { "snapshot.storage.kubernetes.io/is-default-class": "true" } };
  await makeClass(plane, "later", "Delete", { metadata: { name: "later", ...isDefault } });
  const early = await until(volumeSnapshots, inDefault("early"), ready);
  assert.equal(early?.spec.volumeSnapshotClassName, "later");
  assert.equal(early?.status?.error, undefined);
  await until(volumeSnapshots, inDefault("unclassed"), ready);
  await failed("unclaimed", /the claim other is not there/);
  taken.failures.push(new TripodError("internal", "the array is on fire"), new TripodError("unavailable", "and gone"));
  await client.resource(persistentVolumeClaims).create({
    metadata: inDefault("other"),
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, storageClassName: "now" },
  });
  await failed("unclaimed", /Failed to create snapshot: the array is on fire/);
  await until(volumeSnapshots, inDefault("unclaimed"), ready);
  const told = await reasons(plane, "unclaimed");
  for (const reason of ["SnapshotContentCreationFailed", "CreatingSnapshot", "SnapshotCreationFailed"])
    assert.ok(told.includes(reason), `${reason} in ${told.join()}`);
  // Two defaults are none.
  await makeClass(plane, "second", "Delete", { metadata: { name: "second", ...isDefault } });
  await make(plane, "late");
  await failed("late", /there are 2 default classes/);
});

test("a snapshot that is kept leaves its content, of which another snapshot can be made by hand", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await withClaim(stack);
  const { client, until, taken } = plane;
  await client
    .resource(secrets)
    .create({ metadata: inDefault("key"), data: { user: Buffer.from("me").toString("base64") } });
  const parameters = {
    "csi.storage.k8s.io/snapshotter-secret-name": "key",
    "csi.storage.k8s.io/snapshotter-secret-namespace": "${volumesnapshot.namespace}",
  };
  await makeClass(plane, "kept", "Retain", { parameters });
  const made = await make(plane, "snap", { volumeSnapshotClassName: "kept" });
  await until(volumeSnapshots, inDefault("snap"), ready);
  assert.deepEqual({ ...taken.takeRequests[0]?.secrets }, { user: "me" });
  await client.resource(volumeSnapshots).delete("snap", where);
  await until(volumeSnapshots, inDefault("snap"), (each) => each === undefined);
  const name = `snapcontent-${made.metadata.uid}`;
  const kept = await client.resource(volumeSnapshotContents).get(name);
  assert.equal(taken.snapshots.size, 1);
  await client.resource(volumeSnapshotContents).delete(name);
  await until(volumeSnapshotContents, { name }, (each) => each === undefined);
  assert.equal(taken.snapshots.size, 1);

  await make(plane, "given", { source: { volumeSnapshotContentName: "byhand" } });
  await until(
    volumeSnapshots,
    inDefault("given"),
    (each) => each?.status?.error?.message?.includes("missing") === true,
  );
  await client.resource(volumeSnapshotContents).create({
    metadata: { name: "byhand" },
    spec: {
      driver: driverName,
      deletionPolicy: "Delete",
      source: { snapshotHandle: kept.status?.snapshotHandle ?? "" },
      volumeSnapshotRef: inDefault("given"),
    },
  });
  const given = await until(volumeSnapshots, inDefault("given"), ready);
  assert.equal(given?.status?.restoreSize, "1Gi");
  assert.ok((await reasons(plane, "given")).includes("SnapshotContentMissing"));
  await make(plane, "thief", { source: { volumeSnapshotContentName: "byhand" } });
  await until(volumeSnapshots, inDefault("thief"), (each) =>
    /different snapshot/.test(each?.status?.error?.message ?? ""),
  );
  await client.resource(volumeSnapshots).delete("thief", where);
  await until(volumeSnapshots, inDefault("thief"), (each) => each === undefined);
  assert.equal(taken.snapshots.size, 1);
  await client.resource(volumeSnapshots).delete("given", where);
  await until(volumeSnapshots, inDefault("given"), (each) => each === undefined);
  assert.equal(taken.snapshots.size, 0);
});

test("a content that loses its snapshot's word, or its object, is told of and let go", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await withClaim(stack);
  const { client, until, taken } = plane;
  await makeClass(plane, "fast");
  const made = await make(plane, "snap", { volumeSnapshotClassName: "fast" });
  await until(volumeSnapshots, inDefault("snap"), ready);
  const name = `snapcontent-${made.metadata.uid}`;
  // Somebody takes the content away by force.
  await client.resource(volumeSnapshotContents).delete(name);
  await client.resource(volumeSnapshotContents).patch(name, { metadata: { finalizers: null } });
  const orphan = await until(volumeSnapshots, inDefault("snap"), (each) => each?.status?.readyToUse === false);
  assert.equal(orphan?.status?.error?.message, "VolumeSnapshotContent is missing");
  await client.resource(volumeSnapshots).delete("snap", where);
  await until(volumeSnapshots, inDefault("snap"), (each) => each === undefined);
  // A content whose snapshot is gone goes when it is deleted, with its storage.
  const other = await make(plane, "other", { volumeSnapshotClassName: "fast" });
  await until(volumeSnapshots, inDefault("other"), ready);
  await plane.stopControllers();
  await client.resource(volumeSnapshots).delete("other", where);
  await client.resource(volumeSnapshots).patch("other", { metadata: { finalizers: null } }, where);
  await client.resource(volumeSnapshotContents).delete(`snapcontent-${other.metadata.uid}`);
  await plane.restartControllers();
  await until(volumeSnapshotContents, { name: `snapcontent-${other.metadata.uid}` }, (each) => each === undefined);
  assert.deepEqual([...taken.snapshots.keys()], [`snap-snapshot-${made.metadata.uid}`]);
});

test("a snapshot that its driver took without saying so is not forgotten when it cannot be asked again at once", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await withClaim(stack);
  const { client, until, taken } = plane;
  const makeSecret = () => client.resource(secrets).create({ metadata: inDefault("key"), stringData: { a: "b" } });
  await makeSecret();
  const parameters = {
    "csi.storage.k8s.io/snapshotter-secret-name": "key",
    "csi.storage.k8s.io/snapshotter-secret-namespace": "default",
  };
  await makeClass(plane, "fast", "Delete", { parameters });
  taken.onTaken = async () => {
    taken.onTaken = undefined;
    await client.resource(secrets).delete("key", where);
    throw new TripodError("unavailable", "it restarts");
  };
  const made = await make(plane, "snap", { volumeSnapshotClassName: "fast" });
  await until(volumeSnapshots, inDefault("snap"), (each) => each?.status?.error?.message?.includes('"key"') === true);
  const content = await client.resource(volumeSnapshotContents).get(`snapcontent-${made.metadata.uid}`);
  assert.ok(marks(content).includes("snapshot.storage.kubernetes.io/volumesnapshot-being-created"));
  await client.resource(volumeSnapshots).delete("snap", where);
  await makeSecret();
  await until(volumeSnapshots, inDefault("snap"), (each) => each === undefined);
  assert.equal(taken.snapshots.size, 0);
});

test("a class for the driver of a cloud is served by the one that stands in for it", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await withClaim(stack, "get", "kubernetes.io/aws-ebs");
  await makeClass(plane, "cloud", "Delete", { driver: "ebs.csi.aws.com" });
  const made = await make(plane, "snap", { volumeSnapshotClassName: "cloud" });
  await plane.until(volumeSnapshots, inDefault("snap"), ready);
  const content = await plane.client.resource(volumeSnapshotContents).get(`snapcontent-${made.metadata.uid}`);
  assert.equal(content.spec.driver, driverName);
});
