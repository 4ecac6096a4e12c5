import assert from "node:assert/strict";
import { test } from "node:test";
import type { PersistentVolumeClaim } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import { events, persistentVolumeClaims, persistentVolumes, pods, secrets, storageClasses } from "@tripod/kube";
import { addNode, startControlPlane } from "./control-plane.ts";
import { type GrowingPlane, withGrowth } from "./growing-plane.ts";
import { driverName, MemoryDriver } from "./memory-driver.ts";
import { MemoryGrowth } from "./memory-growth.ts";

const where = { namespace: "default" };
const data = { name: "data", ...where };
const gibibyte = 1024n ** 3n;
const state = (claim: PersistentVolumeClaim | undefined) => claim?.status?.allocatedResourceStatuses?.["storage"];
const types = (claim: PersistentVolumeClaim | undefined) => (claim?.status?.conditions ?? []).map(({ type }) => type);
const has = (size: string) => (claim: PersistentVolumeClaim | undefined) =>
  claim?.status?.capacity?.["storage"] === size;
const isIn = (wanted: string) => (claim: PersistentVolumeClaim | undefined) => state(claim) === wanted;

async function useIt({ client, until }: GrowingPlane): Promise<void> {
  await client.resource(pods).create({
    metadata: { name: "web", ...where },
    spec: {
      containers: [{ name: "c", image: "x" }],
      volumes: [{ name: "v", persistentVolumeClaim: { claimName: "data" } }],
    },
  });
  await until(pods, { name: "web", ...where }, (pod) => pod?.spec.nodeName !== undefined);
}

test("a claim that asks for more gets it from the driver, and where nodes have no part that is all", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await withGrowth(stack, new MemoryGrowth("controller"));
  await plane.grow("2Gi");
  const claim = await plane.until(persistentVolumeClaims, data, has("2Gi"));
  assert.deepEqual(claim?.status?.allocatedResources, { storage: "2Gi" });
  assert.equal(state(claim), undefined);
  assert.deepEqual(types(claim), []);
  assert.equal(claim?.metadata.annotations?.["volume.kubernetes.io/node-expansion-not-required"], "true");
  const volume = await plane.client.resource(persistentVolumes).get(plane.volumeName);
  assert.equal(volume.spec.capacity?.["storage"], "2Gi");
  assert.equal(plane.growth.requests[0]?.volumeCapability?.accessType.case, "mount");
  assert.deepEqual(plane.growth.requests[0]?.secrets, {});
  await plane.told("VolumeResizeSuccessful", /Resize volume succeeded/);
  await plane.told("Resizing", /External resizer is resizing volume pvc-/);
  await plane.told("ExternalExpanding", /waiting for an external controller/);
});

test("where nodes have a part, the claim waits for them, and the volume remembers what Pods have", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await withGrowth(stack, new MemoryGrowth("node-too"));
  await plane.grow("2Gi");
  const waiting = await plane.until(persistentVolumeClaims, data, isIn("NodeResizePending"));
  assert.deepEqual(types(waiting), ["Resizing", "FileSystemResizePending"]);
  assert.deepEqual(waiting?.status?.capacity, { storage: "1Gi" });
  const volume = await plane.client.resource(persistentVolumes).get(plane.volumeName);
  assert.equal(volume.metadata.annotations?.["volume.alpha.kubernetes.io/pre-resize-capacity"], "1Gi");
  await plane.told("FileSystemResizeRequired", /on node/);
  // As a kubelet ends it.
  const status = { capacity: { storage: "2Gi" }, allocatedResourceStatuses: null, conditions: [] };
  await plane.client.resource(persistentVolumeClaims).patch("data", { status }, { ...where, subresource: "status" });
  const grown = await plane.until(
    persistentVolumes,
    { name: plane.volumeName },
    (each) => each?.metadata.annotations?.["volume.alpha.kubernetes.io/pre-resize-capacity"] === undefined,
  );
  assert.equal(grown?.spec.capacity?.["storage"], "2Gi");
  assert.equal(plane.growth.requests.length, 1);
});

test("what can never be is told, is not asked for again, and less may be asked for instead", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await withGrowth(stack, new MemoryGrowth("controller"));
  plane.growth.failures.push(new TripodError("out-of-range", "the array has 5Gi"));
  await plane.grow("10Gi");
  const refused = await plane.until(persistentVolumeClaims, data, isIn("ControllerResizeInfeasible"));
  assert.deepEqual(types(refused), ["Resizing", "ControllerResizeError"]);
  assert.match(refused?.status?.conditions?.at(-1)?.message ?? "", /failed to expand pvc with the array has 5Gi/);
  await plane.told(
    "VolumeResizeFailed",
    /resize volume "pvc-.*" by resizer "memory.csi.test" failed: the array has 5Gi/,
  );
  await plane.grow("3Gi");
  const grown = await plane.until(persistentVolumeClaims, data, has("3Gi"));
  assert.deepEqual(types(grown), []);
  const asked = plane.growth.requests.map(({ capacityRange }) => (capacityRange?.requiredBytes ?? 0n) / gibibyte);
  assert.deepEqual(asked, [10n, 3n]);
});

test("a driver that may be at work is asked for the same again, whatever is wished meanwhile", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await withGrowth(stack, new MemoryGrowth("controller"));
  plane.growth.failures.push(new TripodError("unavailable", "it restarts"));
  await plane.grow("4Gi");
  await plane.told("VolumeResizeFailed", /it restarts/);
  await plane.grow("3Gi");
  await plane.until(persistentVolumeClaims, data, has("4Gi"));
  assert.ok(plane.growth.requests.every(({ capacityRange }) => capacityRange?.requiredBytes === 4n * gibibyte));
});

test("a driver that has failed for certain may be asked for less at once", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await withGrowth(stack, new MemoryGrowth("controller"));
  plane.growth.failures.push(new TripodError("internal", "a bad day"));
  await plane.grow("4Gi");
  const failed = await plane.until(persistentVolumeClaims, data, (each) =>
    types(each).includes("ControllerResizeError"),
  );
  assert.equal(state(failed), "ControllerResizeInProgress");
  plane.growth.failures.push(new TripodError("internal", "still"));
  await plane.grow("3Gi");
  await plane.until(persistentVolumeClaims, data, has("3Gi"));
  assert.equal(plane.growth.requests.at(-1)?.capacityRange?.requiredBytes, 3n * gibibyte);
});

for (const [how, growth, failures] of [
  ["says so", new MemoryGrowth("controller", "offline"), []],
  ["refuses", new MemoryGrowth("controller"), [new TripodError("failed-precondition", "it is in use")]],
] as const)
  test(`a driver that makes no volume grow in use and ${how} is asked once no Pod uses it`, async () => {
    await using stack = new AsyncDisposableStack();
    const plane = await withGrowth(stack, growth);
    await useIt(plane);
    growth.failures.push(...failures);
    await plane.grow("2Gi");
    await plane.told("VolumeResizeFailed", /only supports offline expansion and volume is currently in-use/);
    assert.equal(growth.sizes.size, 0);
    await plane.client.resource(pods).delete("web", { ...where, gracePeriodSeconds: 0 });
    await plane.until(persistentVolumeClaims, data, has("2Gi"));
    assert.equal(growth.requests.length, failures.length + 1);
  });

test("a driver of which nodes alone make volumes grow is left out", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await withGrowth(stack, new MemoryGrowth("node-only"));
  await plane.grow("2Gi");
  await plane.until(persistentVolumeClaims, data, isIn("NodeResizePending"));
  const volume = await plane.client.resource(persistentVolumes).get(plane.volumeName);
  assert.equal(volume.spec.capacity?.["storage"], "2Gi");
});

test("the driver gets the secret that its volume's class names for growth, and until that is there an Event says so", async () => {
  await using stack = new AsyncDisposableStack();
  const growth = new MemoryGrowth("controller");
  const secret = "csi.storage.k8s.io/controller-expand-secret";
  const plane = await withGrowth(stack, growth, { [`${secret}-name`]: "key", [`${secret}-namespace`]: "default" });
  await plane.grow("2Gi");
  await plane.told("VolumeResizeFailed", /secrets "key" not found/);
  assert.equal(growth.requests.length, 0);
  const key = { metadata: { name: "key", ...where }, stringData: { user: "me" } };
  await plane.client.resource(secrets).create(key);
  await plane.until(persistentVolumeClaims, data, has("2Gi"));
  assert.deepEqual({ ...growth.requests[0]?.secrets }, { user: "me" });
});

test("of a driver that makes nothing grow an Event says so", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await withGrowth(stack, new MemoryGrowth("none"));
  await plane.grow("2Gi");
  await plane.told("VolumeResizeFailed", /driver memory.csi.test cannot make volumes grow/);
});

test("what a node has refused is tried once more, with the driver's word on it", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await withGrowth(stack, new MemoryGrowth("node-too"));
  await plane.grow("2Gi");
  await plane.until(persistentVolumeClaims, data, isIn("NodeResizePending"));
  const status = { allocatedResourceStatuses: { storage: "NodeResizeInfeasible" } };
  await plane.client.resource(persistentVolumeClaims).patch("data", { status }, { ...where, subresource: "status" });
  await plane.until(persistentVolumeClaims, data, isIn("NodeResizePending"));
  assert.equal(plane.growth.requests.length, 2);
});

/** A volume of AWS of 1Gi that is bound to the claim "data", and a driver that stands in for AWS's. */
async function withEbs(stack: AsyncDisposableStack) {
  const plane = await startControlPlane(stack, { standIns: { "ebs.csi.aws.com": driverName } });
  const { client, until, layout } = plane;
  await addNode(client, "n1");
  const growth = new MemoryGrowth("controller");
  await new MemoryDriver().start(stack, layout, client, { nodes: ["n1"], growth });
  await client.resource(persistentVolumes).create({
    metadata: { name: "ebs" },
    spec: {
      capacity: { storage: "1Gi" },
      accessModes: ["ReadWriteOnce"],
      storageClassName: "gp2",
      awsElasticBlockStore: { volumeID: "vol-1" },
    },
  });
  await client
    .resource(storageClasses)
    .create({ metadata: { name: "gp2" }, provisioner: "kubernetes.io/aws-ebs", allowVolumeExpansion: true });
  const spec = { accessModes: ["ReadWriteOnce" as const], storageClassName: "gp2", volumeName: "ebs" };
  const claims = client.resource(persistentVolumeClaims);
  await claims.create({ metadata: data, spec: { ...spec, resources: { requests: { storage: "1Gi" } } } });
  await until(persistentVolumeClaims, data, has("1Gi"));
  return { client, until, growth, claims };
}

test("a volume of a kind that was built in grows by the driver that serves it, and stays as it was written", async () => {
  await using stack = new AsyncDisposableStack();
  const { client, until, growth, claims } = await withEbs(stack);
  await claims.patch("data", { spec: { resources: { requests: { storage: "2Gi" } } } }, where);
  const grown = await until(persistentVolumeClaims, data, has("2Gi"));
  assert.equal(grown?.metadata.annotations?.["volume.kubernetes.io/storage-resizer"], driverName);
  assert.equal(growth.requests[0]?.volumeId, "vol-1");
  const volume = await client.resource(persistentVolumes).get("ebs");
  assert.equal(volume.spec.capacity?.["storage"], "2Gi");
  assert.deepEqual(volume.spec.awsElasticBlockStore, { volumeID: "vol-1" });
  const signal = AbortSignal.timeout(15_000);
  for await (const { object } of client.resource(events).watch({ ...where, signal }))
    if (object.reason === "ExternalExpanding") {
      assert.match(object.message ?? "", /CSI migration enabled for ebs.csi.aws.com/);
      return;
    }
});

test("what a stand-in has not made yet grows at once, and by the driver when it is first used meanwhile", async () => {
  await using stack = new AsyncDisposableStack();
  const { client, until, growth, claims } = await withEbs(stack);
  growth.unmade.add("vol-1");
  await claims.patch("data", { spec: { resources: { requests: { storage: "2Gi" } } } }, where);
  await until(persistentVolumeClaims, data, has("2Gi"));
  assert.equal((await client.resource(persistentVolumes).get("ebs")).spec.capacity?.["storage"], "2Gi");
  assert.equal(growth.sizes.size, 0);
  growth.onRequest = (count) => {
    if (count === 4) growth.unmade.clear();
  };
  await claims.patch("data", { spec: { resources: { requests: { storage: "3Gi" } } } }, where);
  await until(persistentVolumeClaims, data, has("3Gi"));
  assert.equal(growth.sizes.get("vol-1"), 3n << 30n);
});
