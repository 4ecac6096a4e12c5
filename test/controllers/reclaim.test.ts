import assert from "node:assert/strict";
import { test } from "node:test";
import type { PersistentVolume } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import { events, persistentVolumeClaims, persistentVolumes, storageClasses } from "@tripod/kube";
import { addNode, type ControlPlane, startControlPlane } from "./control-plane.ts";
import { doomedControllers, untilKilled } from "./doomed-controllers.ts";
import { driverName, MemoryDriver } from "./memory-driver.ts";

const where = { namespace: "default" };
const data = { name: "data", ...where };

async function bindTo({ client, until }: ControlPlane, storageClassName: string): Promise<string> {
  await client.resource(persistentVolumeClaims).create({
    metadata: data,
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, storageClassName },
  });
  const bound = await until(persistentVolumeClaims, data, (claim) => claim?.status?.phase === "Bound");
  return bound?.spec.volumeName ?? "";
}

const makeVolume = (
  { client }: ControlPlane,
  persistentVolumeReclaimPolicy: NonNullable<PersistentVolume["spec"]["persistentVolumeReclaimPolicy"]>,
) =>
  client.resource(persistentVolumes).create({
    metadata: { name: "v" },
    spec: {
      capacity: { storage: "1Gi" },
      accessModes: ["ReadWriteOnce"],
      storageClassName: "manual",
      hostPath: { path: "/srv" },
      persistentVolumeReclaimPolicy,
    },
  });

const removeClaim = ({ client }: ControlPlane) => client.resource(persistentVolumeClaims).delete("data", where);
const untilFailed = ({ until }: ControlPlane, name: string) =>
  until(persistentVolumes, { name }, (volume) => volume?.status?.phase === "Failed");

for (const [policy, reason, message] of [
  ["Recycle", "VolumeFailedRecycle", "No recycler plugin found for the volume!"],
  ["Delete", "VolumeFailedDelete", /^error getting deleter volume plugin for volume "v": no deletable/],
] as const)
  test(`a volume that nobody can ${policy.toLowerCase()} has failed, and says why`, async () => {
    await using stack = new AsyncDisposableStack();
    const plane = await startControlPlane(stack);
    await makeVolume(plane, policy);
    await bindTo(plane, "manual");
    await removeClaim(plane);
    const failed = await untilFailed(plane, "v");
    assert.equal(failed?.status?.reason, reason);
    assert.match(failed?.status?.message ?? "", typeof message === "string" ? new RegExp(message) : message);
    const signal = AbortSignal.timeout(15_000);
    for await (const { object } of plane.client.resource(events).watch({ namespace: "default", signal }))
      if (object.reason === reason) break;
    // Without its reference it may be given out again.
    await plane.client.resource(persistentVolumes).patch("v", { spec: { claimRef: null } });
    const free = await plane.until(persistentVolumes, { name: "v" }, (volume) => volume?.status?.phase === "Available");
    assert.equal(free?.status?.reason, undefined);
    assert.equal(await bindTo(plane, "manual"), "v");
  });

async function withDriver(stack: AsyncDisposableStack): Promise<ControlPlane & { driver: MemoryDriver; name: string }> {
  const plane = await startControlPlane(stack);
  const driver = new MemoryDriver();
  await addNode(plane.client, "n1");
  await driver.start(stack, plane.layout, plane.client, { nodes: ["n1"] });
  await plane.client.resource(storageClasses).create({ metadata: { name: "now" }, provisioner: driverName });
  return { ...plane, driver, name: await bindTo(plane, "now") };
}

test("a volume that its driver does not delete has failed until the driver does", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await withDriver(stack);
  plane.driver.deleteFailures.push(new TripodError("internal", "the array is on fire"));
  await removeClaim(plane);
  const failed = await untilFailed(plane, plane.name);
  assert.equal(failed?.status?.reason, "VolumeFailedDelete");
  assert.match(failed?.status?.message ?? "", /the array is on fire/);
  await plane.until(persistentVolumes, { name: plane.name }, (volume) => volume === undefined);
  assert.equal(plane.driver.volumes.size, 0);
});

test("a volume that is still in use somewhere has not failed", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await withDriver(stack);
  plane.driver.deleteFailures.push(new TripodError("failed-precondition", "it is in use"));
  await removeClaim(plane);
  const seen = new Set<string>();
  const signal = AbortSignal.timeout(15_000);
  for await (const { type, object } of plane.client.resource(persistentVolumes).watch({ signal })) {
    if (type === "DELETED") break;
    seen.add(object.status?.phase ?? "");
  }
  assert.ok(!seen.has("Failed"));
});

test("controllers killed at controllers.provisioner.failure-saved go on with the deletion", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await withDriver(stack);
  plane.driver.deleteFailures.push(new TripodError("internal", "a bad day"));
  await plane.stopControllers();
  const failpoint = "controllers.provisioner.failure-saved";
  const doomed = doomedControllers(stack, plane, failpoint);
  await removeClaim(plane);
  await untilKilled(doomed, failpoint);
  assert.equal((await plane.client.resource(persistentVolumes).get(plane.name)).status?.phase, "Failed");
  await plane.restartControllers();
  await plane.until(persistentVolumes, { name: plane.name }, (volume) => volume === undefined);
  assert.equal(plane.driver.volumes.size, 0);
});

test("controllers killed at controllers.binder.volume-failed have said all that there is to say", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await startControlPlane(stack);
  await makeVolume(plane, "Recycle");
  await bindTo(plane, "manual");
  await plane.stopControllers();
  const failpoint = "controllers.binder.volume-failed";
  const doomed = doomedControllers(stack, plane, failpoint);
  await removeClaim(plane);
  await untilKilled(doomed, failpoint);
  const failed = await plane.client.resource(persistentVolumes).get("v");
  assert.equal(failed.status?.reason, "VolumeFailedRecycle");
});
