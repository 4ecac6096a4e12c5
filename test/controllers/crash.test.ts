import assert from "node:assert/strict";
import { test } from "node:test";
import type { PersistentVolumeClaim } from "@tripod/api/kubernetes";
import { persistentVolumeClaims, persistentVolumes, pods, storageClasses, volumeAttachments } from "@tripod/kube";
import { addNode, type ControlPlane, startControlPlane } from "./control-plane.ts";
import { doomedControllers, untilKilled } from "./doomed-controllers.ts";
import { driverName, MemoryDriver } from "./memory-driver.ts";

const isBound = (claim: PersistentVolumeClaim | undefined): boolean => claim?.status?.phase === "Bound";
const where = { namespace: "default" };

const whileMaking = [
  "controllers.provisioner.claim-held",
  "controllers.provisioner.volume-made",
  "controllers.provisioner.volume-saved",
  "controllers.binder.claim-bound",
  "controllers.attachments.made",
  "controllers.attacher.held",
  "controllers.attacher.published",
];
const whileRemoving = [
  "controllers.attachments.node-told",
  "controllers.attachments.deleted",
  "controllers.attacher.unpublished",
  "controllers.attacher.volume-freed",
  "controllers.provisioner.volume-deleted",
];

for (const failpoint of [...whileMaking, ...whileRemoving])
  test(`controllers killed at ${failpoint} leave nothing behind when others take over`, async () => {
    await using stack = new AsyncDisposableStack();
    const plane = await startControlPlane(stack);
    const { client, until } = plane;
    const driver = new MemoryDriver();
    await addNode(client, "n1");
    await driver.start(stack, plane.layout, client, { nodes: ["n1"], attachRequired: true });
    await plane.stopControllers();
    const making = whileMaking.includes(failpoint);
    const doomed = making ? doomedControllers(stack, plane, failpoint) : undefined;

    await makePod(plane);
    if (doomed !== undefined) await untilKilled(doomed, failpoint);
    await plane.restartControllers();
    const bound = await until(persistentVolumeClaims, { name: "data", ...where }, isBound);
    const volumeName = bound?.spec.volumeName ?? "";
    const attachment = await firstAttachment(plane);
    await until(volumeAttachments, { name: attachment }, (each) => each?.status?.attached === true);
    assert.deepEqual([...driver.volumes.keys()], [`id-${volumeName}`]);
    assert.equal(driver.published.size, 1);
    assert.equal((await client.resource(persistentVolumes).list()).items.length, 1);

    if (!making) await plane.stopControllers();
    const second = making ? undefined : doomedControllers(stack, plane, failpoint);
    await client.resource(pods).delete("web", { ...where, gracePeriodSeconds: 0 });
    await client.resource(persistentVolumeClaims).delete("data", where);
    if (second !== undefined) {
      await untilKilled(second, failpoint);
      await plane.restartControllers();
    }
    await until(persistentVolumes, { name: volumeName }, (each) => each === undefined);
    assert.equal(driver.volumes.size, 0);
    assert.equal(driver.published.size, 0);
    assert.deepEqual((await client.resource(volumeAttachments).list()).items, []);
  });

test("controllers killed at controllers.attacher.volume-held let the volume go, though its attachment went before they were back", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await startControlPlane(stack);
  const { client, until } = plane;
  const driver = new MemoryDriver();
  await addNode(client, "n1");
  await driver.start(stack, plane.layout, client, { nodes: ["n1"], attachRequired: true });
  await plane.stopControllers();
  const failpoint = "controllers.attacher.volume-held";
  const doomed = doomedControllers(stack, plane, failpoint);
  await makePod(plane);
  await untilKilled(doomed, failpoint);
  const [volume] = (await client.resource(persistentVolumes).list()).items;
  assert.ok(volume?.metadata.finalizers?.includes("external-attacher/memory-csi-test") === true);
  await client.resource(pods).delete("web", { ...where, gracePeriodSeconds: 0 });
  await client.resource(volumeAttachments).delete(await firstAttachment(plane));
  await client.resource(persistentVolumeClaims).delete("data", where);
  await plane.restartControllers();
  await until(persistentVolumes, { name: volume.metadata.name }, (each) => each === undefined);
  assert.equal(driver.volumes.size, 0);
});

/** A Pod with a claim of a volume that is yet to be made. */
async function makePod({ client }: ControlPlane): Promise<void> {
  await client.resource(storageClasses).create({ metadata: { name: "now" }, provisioner: driverName });
  await client.resource(persistentVolumeClaims).create({
    metadata: { name: "data", ...where },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, storageClassName: "now" },
  });
  await client.resource(pods).create({
    metadata: { name: "web", ...where },
    spec: {
      containers: [{ name: "c", image: "x" }],
      volumes: [{ name: "v", persistentVolumeClaim: { claimName: "data" } }],
    },
  });
}

/** A watch without a version begins with what is there. */
async function firstAttachment(plane: ControlPlane): Promise<string> {
  const signal = AbortSignal.timeout(15_000);
  for await (const { object } of plane.client.resource(volumeAttachments).watch({ signal }))
    return object.metadata.name;
  throw new Error("nothing was attached");
}
