import assert from "node:assert/strict";
import { test } from "node:test";
import type { Event, PersistentVolumeClaim, Pod, StorageClass } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import {
  events,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  secrets,
  storageClasses,
  volumeAttachments,
} from "@tripod/kube";
import { addNode, type ControlPlane, startControlPlane } from "./control-plane.ts";
import { driverName, MemoryDriver } from "./memory-driver.ts";

const claim = (name: string, storageClassName: string, size = "1Gi"): PersistentVolumeClaim => ({
  metadata: { name, namespace: "default" },
  spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: size } }, storageClassName },
});
const storageClass = (name: string, parts: Partial<StorageClass> = {}): StorageClass => ({
  metadata: { name },
  provisioner: driverName,
  ...parts,
});
const user = (name: string, claimName: string, spec: Partial<Pod["spec"]> = {}): Pod => ({
  metadata: { name, namespace: "default" },
  spec: {
    containers: [{ name: "c", image: "x" }],
    volumes: [{ name: "data", persistentVolumeClaim: { claimName } }],
    ...spec,
  },
});
const inDefault = (name: string) => ({ name, namespace: "default" });
const isBound = (object: PersistentVolumeClaim | undefined) => object?.status?.phase === "Bound";

async function withDriver(
  stack: AsyncDisposableStack,
  attachRequired = false,
): Promise<ControlPlane & { driver: MemoryDriver }> {
  const plane = await startControlPlane(stack);
  const driver = new MemoryDriver();
  await addNode(plane.client, "n1");
  await addNode(plane.client, "n2");
  await driver.start(stack, plane.layout, plane.client, { nodes: ["n1", "n2"], attachRequired });
  return { ...plane, driver };
}

test("claims are bound to the smallest volume that suits, and a released volume is kept as it is", async () => {
  await using stack = new AsyncDisposableStack();
  const { client, until } = await startControlPlane(stack);
  for (const [name, storage] of [
    ["small", "512Mi"],
    ["fit", "2Gi"],
    ["big", "5Gi"],
  ] as const)
    await client.resource(persistentVolumes).create({
      metadata: { name },
      spec: {
        capacity: { storage },
        accessModes: ["ReadWriteOnce"],
        storageClassName: "manual",
        hostPath: { path: "/tmp/x" },
        persistentVolumeReclaimPolicy: "Retain",
      },
    });
  await client.resource(persistentVolumeClaims).create(claim("data", "manual"));
  const bound = await until(persistentVolumeClaims, inDefault("data"), isBound);
  assert.equal(bound?.spec.volumeName, "fit");
  assert.deepEqual(bound?.status?.capacity, { storage: "2Gi" });
  assert.equal(bound?.metadata.annotations?.["pv.kubernetes.io/bind-completed"], "yes");
  const volume = await until(persistentVolumes, { name: "fit" }, (each) => each?.status?.phase === "Bound");
  assert.equal(volume?.spec.claimRef?.uid, bound?.metadata.uid);
  await client.resource(persistentVolumeClaims).delete("data", { namespace: "default" });
  await until(persistentVolumes, { name: "fit" }, (each) => each?.status?.phase === "Released");
  await client.resource(persistentVolumeClaims).create(claim("again", "manual"));
  assert.equal((await until(persistentVolumeClaims, inDefault("again"), isBound))?.spec.volumeName, "big");
});

test("an immediate claim is provisioned, and deleting it deletes the volume", async () => {
  await using stack = new AsyncDisposableStack();
  const { client, until, driver } = await withDriver(stack);
  await client.resource(storageClasses).create(storageClass("now"));
  await client.resource(persistentVolumeClaims).create(claim("data", "now"));
  const bound = await until(persistentVolumeClaims, inDefault("data"), isBound);
  const name = `pvc-${bound?.metadata.uid}`;
  assert.equal(bound?.spec.volumeName, name);
  const volume = await client.resource(persistentVolumes).get(name);
  assert.equal(volume.spec.csi?.volumeAttributes?.made, "yes");
  assert.deepEqual([...driver.volumes.keys()], [`id-${name}`]);
  const settled = await until(
    persistentVolumeClaims,
    inDefault("data"),
    (each) => each?.metadata.finalizers?.includes("controllers.tripod.dev/provisioning") !== true,
  );
  assert.deepEqual(settled?.metadata.finalizers, ["kubernetes.io/pvc-protection"]);
  await client.resource(persistentVolumeClaims).delete("data", { namespace: "default" });
  await until(persistentVolumes, { name }, (each) => each === undefined);
  assert.equal(driver.volumes.size, 0);
});

test("a claim that waits for its first consumer is made where the Pod will run, and outlives the Pod", async () => {
  await using stack = new AsyncDisposableStack();
  const { client, until, driver } = await withDriver(stack);
  await client
    .resource(storageClasses)
    .create(storageClass("late", { volumeBindingMode: "WaitForFirstConsumer", reclaimPolicy: "Delete" }));
  await client.resource(persistentVolumeClaims).create(claim("data", "late"));
  await until(persistentVolumeClaims, inDefault("data"), (each) => each?.status?.phase === "Pending");
  assert.equal(driver.createCalls, 0);
  await client.resource(pods).create(user("web", "data", { nodeSelector: { "kubernetes.io/hostname": "n2" } }));
  await until(pods, inDefault("web"), (pod) => pod?.spec.nodeName === "n2");
  const bound = await client.resource(persistentVolumeClaims).get("data", { namespace: "default" });
  assert.ok(isBound(bound));
  const volume = await client.resource(persistentVolumes).get(bound.spec.volumeName ?? "");
  assert.deepEqual(volume.spec.nodeAffinity?.required?.nodeSelectorTerms, [
    { matchExpressions: [{ key: "topology.test/node", operator: "In", values: ["n2"] }] },
  ]);
  // Used by a Pod on a node, it outlives its own deletion.
  await client.resource(persistentVolumeClaims).delete("data", { namespace: "default" });
  assert.notEqual(
    (await client.resource(persistentVolumeClaims).get("data", { namespace: "default" })).metadata.deletionTimestamp,
    undefined,
  );
  await client.resource(pods).delete("web", { namespace: "default", gracePeriodSeconds: 0 });
  await until(persistentVolumeClaims, inDefault("data"), (each) => each === undefined);
  await until(persistentVolumes, { name: volume.metadata.name }, (each) => each === undefined);
  assert.equal(driver.volumes.size, 0);
});

test("a driver that fails is asked again, and an event says why", async () => {
  await using stack = new AsyncDisposableStack();
  const { client, until, driver } = await withDriver(stack);
  driver.createFailures.push(
    new TripodError("unavailable", "the array restarts"),
    new TripodError("internal", "a bad day"),
  );
  await client.resource(storageClasses).create(storageClass("now"));
  await client.resource(persistentVolumeClaims).create(claim("data", "now"));
  await until(persistentVolumeClaims, inDefault("data"), isBound);
  assert.equal(driver.createCalls, 3);
  const { items } = await client
    .resource(events)
    .list({ namespace: "default", fieldSelector: "involvedObject.name=data" });
  const failed = items.filter((event) => event.reason === "ProvisioningFailed").map((event) => event.message);
  assert.deepEqual(failed, [
    'failed to provision volume with StorageClass "now": the array restarts',
    'failed to provision volume with StorageClass "now": a bad day',
  ]);
});

test("a node without room is given up for another", async () => {
  await using stack = new AsyncDisposableStack();
  const { client, until, driver } = await withDriver(stack);
  driver.createFailures.push(new TripodError("exhausted", "no room here"));
  await client.resource(storageClasses).create(storageClass("late", { volumeBindingMode: "WaitForFirstConsumer" }));
  await client.resource(persistentVolumeClaims).create(claim("data", "late"));
  await client.resource(pods).create(user("web", "data"));
  await until(pods, inDefault("web"), (pod) => pod?.spec.nodeName !== undefined);
  assert.equal(driver.createCalls, 2);
});

test("a claim that is deleted while its volume is made leaves no storage behind, whoever restarts meanwhile", async () => {
  await using stack = new AsyncDisposableStack();
  const { client, until, driver, stopControllers, restartControllers } = await withDriver(stack);
  await client.resource(storageClasses).create(storageClass("now"));
  const made = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  // The driver makes the volume, but whoever asked is gone before it can say so.
  driver.onCreated = () => {
    made.resolve();
    return held.promise;
  };
  await client.resource(persistentVolumeClaims).create(claim("data", "now"));
  await made.promise;
  await client.resource(persistentVolumeClaims).delete("data", { namespace: "default" });
  assert.equal(driver.volumes.size, 1);
  await stopControllers();
  driver.onCreated = undefined;
  held.resolve();
  await restartControllers();
  await until(persistentVolumeClaims, inDefault("data"), (each) => each === undefined);
  assert.equal(driver.volumes.size, 0);
  assert.deepEqual((await client.resource(persistentVolumes).list()).items, []);
});

test("a volume that its driver made without saying so is not forgotten when it cannot be asked again at once", async () => {
  await using stack = new AsyncDisposableStack();
  const { client, until, driver } = await withDriver(stack);
  const makeSecret = () => client.resource(secrets).create({ metadata: inDefault("key"), stringData: { a: "b" } });
  await makeSecret();
  const parameters = {
    "csi.storage.k8s.io/provisioner-secret-name": "key",
    "csi.storage.k8s.io/provisioner-secret-namespace": "default",
  };
  await client.resource(storageClasses).create(storageClass("now", { parameters }));
  driver.onCreated = async () => {
    driver.onCreated = undefined;
    await client.resource(secrets).delete("key", { namespace: "default" });
    throw new TripodError("unavailable", "it restarts");
  };
  await client.resource(persistentVolumeClaims).create(claim("data", "now"));
  const signal = AbortSignal.timeout(15_000);
  for await (const { object } of client.resource(events).watch({ namespace: "default", signal }))
    if (object.reason === "ProvisioningFailed" && object.message?.includes('"key"') === true) break;
  await client.resource(persistentVolumeClaims).delete("data", { namespace: "default" });
  await makeSecret();
  await until(persistentVolumeClaims, inDefault("data"), (each) => each === undefined);
  assert.equal(driver.volumes.size, 0);
});

test("a claim that gets another volume while its own is made leaves no storage behind", async () => {
  await using stack = new AsyncDisposableStack();
  const { client, until, driver } = await withDriver(stack);
  await client.resource(storageClasses).create(storageClass("now"));
  driver.onCreated = async () => {
    driver.onCreated = undefined;
    await client.resource(persistentVolumes).create({
      metadata: { name: "other" },
      spec: {
        storageClassName: "now",
        capacity: { storage: "1Gi" },
        accessModes: ["ReadWriteOnce"],
        csi: { driver: driverName, volumeHandle: "other" },
      },
    });
    await until(persistentVolumeClaims, inDefault("data"), isBound);
    throw new TripodError("unavailable", "it restarts");
  };
  await client.resource(persistentVolumeClaims).create(claim("data", "now"));
  const bound = await until(
    persistentVolumeClaims,
    inDefault("data"),
    (each) => isBound(each) && each?.metadata.finalizers?.includes("controllers.tripod.dev/provisioning") === false,
  );
  assert.equal(bound?.spec.volumeName, "other");
  assert.equal(driver.volumes.size, 0);
});

test("a claim that is held for a driver which nobody knows is told of by who is known", async () => {
  await using stack = new AsyncDisposableStack();
  const { client } = await startControlPlane(stack);
  const made = claim("data", "none");
  made.metadata.finalizers = ["controllers.tripod.dev/provisioning"];
  made.metadata.annotations = { "volume.kubernetes.io/storage-provisioner": "any.name" };
  await client.resource(persistentVolumeClaims).create(made);
  await client.resource(persistentVolumeClaims).delete("data", { namespace: "default" });
  let told: Event | undefined;
  const signal = AbortSignal.timeout(15_000);
  for await (const { object } of client.resource(events).watch({ namespace: "default", signal })) {
    if (object.reason === "ProvisioningCleanupFailed") told = object;
    if (told !== undefined) break;
  }
  assert.match(told?.message ?? "", /CSI driver "any\.name" is not there/);
  assert.equal(told?.source?.component, "persistentvolume-controller");
});

test("volumes are attached to the Pod's node, detached when it ends, and failures are told", async () => {
  await using stack = new AsyncDisposableStack();
  const { client, until, driver } = await withDriver(stack, true);
  driver.publishFailures.push(new TripodError("internal", "the cable is loose"));
  await client.resource(storageClasses).create(
    storageClass("now", {
      allowedTopologies: [{ matchLabelExpressions: [{ key: "topology.test/node", values: ["n1"] }] }],
    }),
  );
  await client.resource(persistentVolumeClaims).create(claim("data", "now"));
  await client.resource(pods).create(user("web", "data"));
  const bound = await until(persistentVolumeClaims, inDefault("data"), isBound);
  await until(nodes, { name: "n1" }, (node) => (node?.status?.volumesAttached ?? []).length === 1);
  const [attachment] = (await client.resource(volumeAttachments).list()).items;
  assert.equal(attachment?.status?.attached, true);
  assert.deepEqual(attachment?.status?.attachmentMetadata, { device: "/dev/x" });
  const handle = `id-${bound?.spec.volumeName}`;
  assert.deepEqual([...driver.published], [`${handle} id-n1`]);

  // While the kubelet says that it is mounted, it stays.
  const inUse = [`kubernetes.io/csi/${driverName}^${handle}`];
  await client.resource(nodes).patch("n1", { status: { volumesInUse: inUse } }, { subresource: "status" });
  await client.resource(pods).delete("web", { namespace: "default", gracePeriodSeconds: 0 });
  await until(pods, inDefault("web"), (pod) => pod === undefined);
  assert.equal(driver.published.size, 1);
  await client.resource(nodes).patch("n1", { status: { volumesInUse: null } }, { subresource: "status" });
  await until(volumeAttachments, { name: attachment?.metadata.name ?? "" }, (each) => each === undefined);
  assert.equal(driver.published.size, 0);
  const { items } = await client
    .resource(events)
    .list({ namespace: "default", fieldSelector: "involvedObject.name=web" });
  const told = items.filter((event) => event.reason === "FailedAttachVolume").map((event) => event.message);
  assert.deepEqual(told, [`AttachVolume.Attach failed for volume "${bound?.spec.volumeName}": the cable is loose`]);
});
