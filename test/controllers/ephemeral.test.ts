import assert from "node:assert/strict";
import { test } from "node:test";
import type { PersistentVolumeClaim, Pod } from "@tripod/api/kubernetes";
import { events, persistentVolumeClaims, persistentVolumes, pods, storageClasses } from "@tripod/kube";
import { addNode, type ControlPlane, startControlPlane } from "./control-plane.ts";
import { doomedControllers, untilKilled } from "./doomed-controllers.ts";
import { driverName, MemoryDriver } from "./memory-driver.ts";

const where = { namespace: "default" };
const scratch = { name: "web-scratch", ...where };
const spec = {
  accessModes: ["ReadWriteOnce" as const],
  resources: { requests: { storage: "1Gi" } },
  storageClassName: "late",
};
const web: Pod = {
  metadata: { name: "web", ...where },
  spec: {
    containers: [{ name: "c", image: "x" }],
    volumes: [
      { name: "scratch", ephemeral: { volumeClaimTemplate: { metadata: { labels: { kind: "scratch" } }, spec } } },
    ],
  },
};

async function start(stack: AsyncDisposableStack): Promise<ControlPlane & { driver: MemoryDriver }> {
  const plane = await startControlPlane(stack);
  const driver = new MemoryDriver();
  await addNode(plane.client, "n1");
  await driver.start(stack, plane.layout, plane.client, { nodes: ["n1"] });
  await plane.client
    .resource(storageClasses)
    .create({ metadata: { name: "late" }, provisioner: driverName, volumeBindingMode: "WaitForFirstConsumer" });
  return { ...plane, driver };
}

const removeWeb = ({ client }: ControlPlane) =>
  client.resource(pods).delete("web", { ...where, gracePeriodSeconds: 0 });

const untilPlaced = ({ until }: ControlPlane) =>
  until(pods, { name: "web", ...where }, (pod) => pod?.spec.nodeName === "n1");

/** Until neither the claim nor its volume is there. */
async function untilNothingIsLeft({ client, until, driver }: ControlPlane & { driver: MemoryDriver }): Promise<void> {
  await until(persistentVolumeClaims, scratch, (claim) => claim === undefined);
  for (const { metadata } of (await client.resource(persistentVolumes).list()).items)
    await until(persistentVolumes, { name: metadata.name }, (volume) => volume === undefined);
  assert.equal(driver.volumes.size, 0);
}

test("an ephemeral volume gets a claim of the Pod's own, which goes with the Pod", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await start(stack);
  const { metadata } = await plane.client.resource(pods).create(web);
  await untilPlaced(plane);
  const claim = await plane.client.resource(persistentVolumeClaims).get("web-scratch", where);
  assert.deepEqual(claim.metadata.ownerReferences, [
    { apiVersion: "v1", kind: "Pod", name: "web", uid: metadata.uid, controller: true, blockOwnerDeletion: true },
  ]);
  assert.deepEqual(claim.metadata.labels, { kind: "scratch" });
  assert.equal(claim.status?.phase, "Bound");
  await removeWeb(plane);
  await untilNothingIsLeft(plane);
});

test("a claim of that name that is somebody else's is left alone, and the Pod is told", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await start(stack);
  const { client, until } = plane;
  const foreign: PersistentVolumeClaim = { metadata: scratch, spec };
  await client.resource(persistentVolumeClaims).create(foreign);
  await client.resource(pods).create(web);
  const signal = AbortSignal.timeout(15_000);
  const about = { ...where, fieldSelector: "involvedObject.name=web", signal };
  for await (const { object } of client.resource(events).watch(about)) {
    if (object.reason !== "FailedBinding") continue;
    const wanted =
      "ephemeral volume scratch: PVC default/web-scratch was not created for pod default/web (pod is not owner)";
    assert.equal(object.message, wanted);
    break;
  }
  const told = await until(
    pods,
    { name: "web", ...where },
    (pod) => pod?.status?.conditions?.some(({ message }) => message?.includes("is not owner")) === true,
  );
  assert.equal(told?.spec.nodeName, undefined);
  await removeWeb(plane);
  const left = await client.resource(persistentVolumeClaims).get("web-scratch", where);
  assert.equal(left.metadata.deletionTimestamp, undefined);
});

test("a claim that cannot be made is told to the Pod, with the reason alone", async () => {
  await using stack = new AsyncDisposableStack();
  const { client } = await start(stack);
  const volumeClaimTemplate = { spec: { ...spec, accessModes: [] } };
  await client.resource(pods).create({
    ...web,
    spec: { ...web.spec, volumes: [{ name: "scratch", ephemeral: { volumeClaimTemplate } }] },
  });
  let told: string | undefined;
  const signal = AbortSignal.timeout(15_000);
  for await (const { object } of client.resource(events).watch({ ...where, signal })) {
    if (object.reason === "FailedBinding" && object.involvedObject.name === "web") told = object.message;
    if (told !== undefined) break;
  }
  assert.match(told ?? "", /^ephemeral volume scratch: create persistentvolumeclaims\/web-scratch: /);
});

test("a claim whose Pod went while nobody looked goes when controllers start", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await start(stack);
  await plane.client.resource(pods).create(web);
  await untilPlaced(plane);
  await plane.stopControllers();
  await removeWeb(plane);
  await plane.restartControllers();
  await untilNothingIsLeft(plane);
});

test("controllers killed at controllers.ephemeral.claim-made make it once", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await start(stack);
  await plane.stopControllers();
  const failpoint = "controllers.ephemeral.claim-made";
  const doomed = doomedControllers(stack, plane, failpoint);
  await plane.client.resource(pods).create(web);
  await untilKilled(doomed, failpoint);
  await plane.restartControllers();
  await untilPlaced(plane);
  assert.equal((await plane.client.resource(persistentVolumeClaims).list(where)).items.length, 1);
  await removeWeb(plane);
  await untilNothingIsLeft(plane);
});

test("controllers killed at controllers.ephemeral.claim-deleted leave nothing behind", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await start(stack);
  await plane.client.resource(pods).create(web);
  await untilPlaced(plane);
  await plane.stopControllers();
  const failpoint = "controllers.ephemeral.claim-deleted";
  const doomed = doomedControllers(stack, plane, failpoint);
  await removeWeb(plane);
  await untilKilled(doomed, failpoint);
  await plane.restartControllers();
  await untilNothingIsLeft(plane);
});
