import assert from "node:assert/strict";
import { test } from "node:test";
import type { PersistentVolumeClaim } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import { persistentVolumeClaims, persistentVolumes, volumeAttributesClasses } from "@tripod/kube";
import { doomedControllers, untilKilled } from "./doomed-controllers.ts";
import { type GrowingPlane, withGrowth } from "./growing-plane.ts";
import { driverName } from "./memory-driver.ts";
import { MemoryGrowth } from "./memory-growth.ts";

const where = { namespace: "default" };
const data = { name: "data", ...where };
const types = (claim: PersistentVolumeClaim | undefined) => (claim?.status?.conditions ?? []).map(({ type }) => type);
const has = (name: string) => (claim: PersistentVolumeClaim | undefined) =>
  claim?.status?.currentVolumeAttributesClassName === name && claim.status.modifyVolumeStatus === undefined;
const isIn = (status: string) => (claim: PersistentVolumeClaim | undefined) =>
  claim?.status?.modifyVolumeStatus?.status === status;

async function withAttributes(stack: AsyncDisposableStack): Promise<
  GrowingPlane & {
    readonly make: (name: string, driver?: string) => Promise<unknown>;
    readonly wish: (name: string | null) => Promise<unknown>;
    readonly parameters: () => Record<string, string> | undefined;
  }
> {
  const plane = await withGrowth(stack, new MemoryGrowth("controller"));
  const { client, growth } = plane;
  return {
    ...plane,
    make: (name, driver = driverName) =>
      client
        .resource(volumeAttributesClasses)
        .create({ metadata: { name }, driverName: driver, parameters: { metal: name } }),
    wish: (volumeAttributesClassName) =>
      client.resource(persistentVolumeClaims).patch("data", { spec: { volumeAttributesClassName } }, where),
    parameters: () => growth.modified.get(`id-${plane.volumeName}`),
  };
}

test("a bound claim gets the attributes that it names, once they are there", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await withAttributes(stack);
  await plane.wish("gold");
  await plane.until(persistentVolumeClaims, data, isIn("Pending"));
  await plane.told("VolumeModifyFailed", /VAC "gold" does not exist\./);
  await plane.make("gold");
  const claim = await plane.until(persistentVolumeClaims, data, has("gold"));
  assert.deepEqual(types(claim), []);
  assert.deepEqual(plane.parameters(), { metal: "gold" });
  const volume = await plane.client.resource(persistentVolumes).get(plane.volumeName);
  assert.equal(volume.spec.volumeAttributesClassName, "gold");
  await plane.told("VolumeModifySuccessful", /modified volume data with vac gold successfully/);
  await plane.told("VolumeModify", /is modifying volume data with vac gold/);
});

test("what the driver refuses is told, and other attributes may be wished for, or none", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await withAttributes(stack);
  for (const name of ["lead", "gold"]) await plane.make(name);
  plane.growth.modifyFailures.push(new TripodError("invalid", "no lead"), new TripodError("invalid", "no lead"));
  await plane.wish("lead");
  const refused = await plane.until(persistentVolumeClaims, data, isIn("Infeasible"));
  assert.equal(refused?.status?.modifyVolumeStatus?.targetVolumeAttributesClassName, "lead");
  const error = refused?.status?.conditions?.find(({ type }) => type === "ModifyVolumeError");
  assert.deepEqual([error?.reason, error?.message], ["InvalidArgument", "no lead"]);
  await plane.told("VolumeModifyFailed", /no lead/);
  await plane.wish(null);
  await plane.told("VolumeModifyCanceled", /Cancelled modify/);
  await plane.until(persistentVolumeClaims, data, (each) => !types(each).includes("ModifyingVolume"));
  plane.growth.modifyFailures.length = 0;
  await plane.wish("gold");
  assert.deepEqual(types(await plane.until(persistentVolumeClaims, data, has("gold"))), []);
});

test("a driver that may be at work is asked for the same until it ends, then for what is wished by then", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await withAttributes(stack);
  for (const name of ["iron", "gold"]) await plane.make(name);
  plane.growth.modifyFailures.push(new TripodError("unavailable", "it restarts"));
  await plane.wish("iron");
  await plane.told("VolumeModifyFailed", /it restarts. Still modifying to VAC iron/);
  await plane.wish("gold");
  await plane.until(persistentVolumeClaims, data, has("gold"));
  const asked = plane.growth.modifications.map(({ mutableParameters }) => mutableParameters["metal"]);
  assert.deepEqual([...new Set(asked)], ["iron", "gold"]);
  assert.equal(asked.filter((each) => each === "gold").length, 1);
});

test("a claim is made with its attributes, bound to volumes of the same alone, and they stay while it has them", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await withAttributes(stack);
  const { client, until, driver } = plane;
  const spec = {
    accessModes: ["ReadWriteOnce" as const],
    resources: { requests: { storage: "1Gi" } },
    volumeAttributesClassName: "gold",
  };
  await client.resource(persistentVolumes).create({
    metadata: { name: "plain" },
    spec: {
      accessModes: ["ReadWriteOnce"],
      capacity: { storage: "1Gi" },
      storageClassName: "grows",
      csi: { driver: driverName, volumeHandle: "plain" },
    },
  });
  await until(persistentVolumes, { name: "plain" }, (each) => each?.status?.phase === "Available");
  const claims = client.resource(persistentVolumeClaims);
  await claims.create({ metadata: { name: "new", ...where }, spec: { ...spec, storageClassName: "grows" } });
  await plane.make("gold");
  const bound = await until(
    persistentVolumeClaims,
    { name: "new", ...where },
    (each) => each?.status?.phase === "Bound",
  );
  const volumeName = bound?.spec.volumeName ?? "";
  assert.deepEqual({ ...driver.volumes.get(`id-${volumeName}`)?.mutableParameters }, { metal: "gold" });
  assert.equal(bound?.status?.currentVolumeAttributesClassName, "gold");
  const volume = await client.resource(persistentVolumes).get(volumeName);
  assert.equal(volume.spec.volumeAttributesClassName, "gold");
  // In use, it outlives its deletion.
  const attributes = client.resource(volumeAttributesClasses);
  await until(volumeAttributesClasses, { name: "gold" }, (each) => each?.metadata.finalizers?.length === 1);
  await attributes.delete("gold");
  assert.notEqual((await attributes.get("gold")).metadata.deletionTimestamp, undefined);
  await claims.delete("new", where);
  await until(volumeAttributesClasses, { name: "gold" }, (each) => each === undefined);
  assert.equal(plane.growth.modifications.length, 0);
});

test("attributes of another driver are refused", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await withAttributes(stack);
  await plane.make("gold", "other.csi.test");
  await plane.wish("gold");
  await plane.until(persistentVolumeClaims, data, isIn("Infeasible"));
  await plane.told("VolumeModifyFailed", /VAC gold is for driver other.csi.test, not memory.csi.test/);
});

for (const failpoint of ["begun", "modified", "volume-saved", "claim-saved"])
  test(`controllers killed at controllers.modifier.${failpoint} leave it to others, who end it`, async () => {
    await using stack = new AsyncDisposableStack();
    const plane = await withAttributes(stack);
    for (const name of ["iron", "gold"]) await plane.make(name);
    await plane.stopControllers();
    const doomed = doomedControllers(stack, plane, `controllers.modifier.${failpoint}`);
    await plane.wish("iron");
    await untilKilled(doomed, failpoint);
    await plane.wish("gold");
    await plane.restartControllers();
    assert.deepEqual(types(await plane.until(persistentVolumeClaims, data, has("gold"))), []);
    assert.deepEqual(plane.parameters(), { metal: "gold" });
    const volume = await plane.client.resource(persistentVolumes).get(plane.volumeName);
    assert.equal(volume.spec.volumeAttributesClassName, "gold");
    const asked = plane.growth.modifications.map(({ mutableParameters }) => mutableParameters["metal"]);
    assert.equal(asked[0], "iron");
  });

test("controllers killed when a refusal is saved leave it to others", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await withAttributes(stack);
  for (const name of ["lead", "gold"]) await plane.make(name);
  plane.growth.modifyFailures.push(new TripodError("invalid", "no lead"));
  await plane.stopControllers();
  const doomed = doomedControllers(stack, plane, "controllers.modifier.failure-saved");
  await plane.wish("lead");
  await untilKilled(doomed, "controllers.modifier.failure-saved");
  await plane.wish("gold");
  await plane.restartControllers();
  assert.deepEqual(types(await plane.until(persistentVolumeClaims, data, has("gold"))), []);
});
