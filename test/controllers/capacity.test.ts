import assert from "node:assert/strict";
import { test } from "node:test";
import type { GetCapacityRequest } from "@tripod/api/csi";
import type { CSIStorageCapacity, PersistentVolumeClaim, Stored } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import type { ControllersOptions } from "@tripod/controllers";
import {
  csiDrivers,
  csiNodes,
  csiStorageCapacities,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  storageClasses,
} from "@tripod/kube";
import { addNode, type ControlPlane, startControlPlane } from "./control-plane.ts";
import { doomedControllers, untilKilled } from "./doomed-controllers.ts";
import { driverName, MemoryDriver } from "./memory-driver.ts";

const where = { namespace: "default" };
const gibibyte = 1024n ** 3n;

/** A driver with so much room on each node: what its volumes take there is no more to be had. */
async function start(
  stack: AsyncDisposableStack,
  room: Record<string, bigint>,
  options: Partial<ControllersOptions> = {},
): Promise<ControlPlane & { driver: MemoryDriver }> {
  const plane = await startControlPlane(stack, options);
  const driver = new MemoryDriver();
  const names = Object.keys(room);
  for (const name of names) await addNode(plane.client, name);
  const usedOn = (node: string): bigint =>
    [...driver.volumes.values()]
      .filter((each) => each.accessibilityRequirements?.preferred[0]?.segments["topology.test/node"] === node)
      .reduce((sum, each) => sum + (each.capacityRange?.requiredBytes ?? 0n), 0n);
  const getCapacity = async ({ accessibleTopology }: GetCapacityRequest) => {
    const node = accessibleTopology?.segments["topology.test/node"] ?? "";
    return { availableCapacity: (room[node] ?? 0n) - usedOn(node) };
  };
  const also = { spec: { storageCapacity: true }, controller: { getCapacity } };
  await driver.start(stack, plane.layout, plane.client, { nodes: names, also });
  return { ...plane, driver };
}

const makeClass = ({ client }: ControlPlane, name: string, provisioner = driverName) =>
  client
    .resource(storageClasses)
    .create({ metadata: { name }, provisioner, volumeBindingMode: "WaitForFirstConsumer" });

async function use({ client }: ControlPlane, name: string, storage: string): Promise<void> {
  const claim: PersistentVolumeClaim = {
    metadata: { name, ...where },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage } }, storageClassName: "late" },
  };
  await client.resource(persistentVolumeClaims).create(claim);
  await client.resource(pods).create({
    metadata: { name, ...where },
    spec: {
      containers: [{ name: "c", image: "x" }],
      volumes: [{ name: "v", persistentVolumeClaim: { claimName: name } }],
    },
  });
}

/** Until the objects say just that: "class node amount". */
async function untilTold({ client }: ControlPlane, wanted: readonly string[]): Promise<void> {
  const capacities = client.resource(csiStorageCapacities);
  const { items, resourceVersion } = await capacities.list();
  const told = new Map<string, string>();
  const tell = ({ metadata, storageClassName, nodeTopology, capacity }: Stored<CSIStorageCapacity>): void => {
    const node = nodeTopology?.matchLabels?.["topology.test/node"];
    told.set(metadata.name, [storageClassName, node, capacity].join(" "));
  };
  const isSame = (): boolean => JSON.stringify([...told.values()].sort()) === JSON.stringify(wanted);
  for (const item of items) tell(item);
  if (isSame()) return;
  const signal = AbortSignal.timeout(15_000);
  for await (const { type, object } of capacities.watch({ resourceVersion, signal })) {
    if (type === "DELETED") told.delete(object.metadata.name);
    else tell(object);
    if (isSame()) return;
  }
  assert.deepEqual([...told.values()].sort(), wanted);
}

test("what a driver has for a class at a place is written down, kept up, and goes with what it is about", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await start(stack, { n1: 10n * gibibyte, n2: 5n * gibibyte });
  const { client } = plane;
  await makeClass(plane, "late");
  await client.resource(storageClasses).create({ metadata: { name: "now" }, provisioner: driverName });
  await untilTold(plane, ["late n1 10Gi", "late n2 5Gi"]);
  const driver = await client.resource(csiDrivers).get(driverName);
  const [object] = (await client.resource(csiStorageCapacities).list()).items;
  assert.equal(object?.metadata.ownerReferences?.[0]?.uid, driver.metadata.uid);
  assert.equal(object?.metadata.labels?.["csi.storage.k8s.io/drivername"], driverName);

  await use(plane, "data", "7Gi");
  await untilTold(plane, ["late n1 3Gi", "late n2 5Gi"]);
  await makeClass(plane, "later");
  await untilTold(plane, ["late n1 3Gi", "late n2 5Gi", "later n1 3Gi", "later n2 5Gi"]);
  await client.resource(storageClasses).delete("later");
  await untilTold(plane, ["late n1 3Gi", "late n2 5Gi"]);
  await client.resource(pods).delete("data", { ...where, gracePeriodSeconds: 0 });
  await client.resource(persistentVolumeClaims).delete("data", where);
  await untilTold(plane, ["late n1 10Gi", "late n2 5Gi"]);
  await client.resource(csiNodes).delete("n2");
  await client.resource(nodes).delete("n2");
  await untilTold(plane, ["late n1 10Gi"]);
  await client.resource(csiDrivers).delete(driverName);
  await untilTold(plane, []);
});

test("a Pod goes where there is storage for its claim, and nowhere while there is none", async () => {
  await using stack = new AsyncDisposableStack();
  const room = { n1: 1n * gibibyte, n2: 5n * gibibyte };
  const plane = await start(stack, room, { capacity: { askEveryMs: 200 } });
  await makeClass(plane, "late");
  await untilTold(plane, ["late n1 1Gi", "late n2 5Gi"]);
  await use(plane, "fits", "4Gi");
  await plane.until(pods, { name: "fits", ...where }, (pod) => pod?.spec.nodeName === "n2");
  await untilTold(plane, ["late n1 1Gi", "late n2 1Gi"]);
  await use(plane, "big", "8Gi");
  const wanted = "0/2 nodes are available: 2 node(s) did not have enough free storage.";
  await plane.until(
    pods,
    { name: "big", ...where },
    (pod) => pod?.status?.conditions?.some(({ message }) => message === wanted) === true,
  );
  room.n1 = 9n * gibibyte;
  await plane.until(pods, { name: "big", ...where }, (pod) => pod?.spec.nodeName === "n1");
  assert.equal((await plane.client.resource(persistentVolumes).list()).items.length, 2);
});

test("a node that is given up has its driver asked at once, also where that stands in for a cloud's", async () => {
  await using stack = new AsyncDisposableStack();
  const room = { n1: 5n * gibibyte };
  const plane = await start(stack, room, { standIns: { "ebs.csi.aws.com": driverName } });
  await makeClass(plane, "late", "kubernetes.io/aws-ebs");
  await untilTold(plane, ["late n1 5Gi"]);
  room.n1 = 0n;
  plane.driver.createFailures.push(...Array.from({ length: 100 }, () => new TripodError("exhausted", "no room")));
  await use(plane, "data", "4Gi");
  await untilTold(plane, ["late n1 0"]);
});

test("a class that cannot be translated keeps neither others nor the controllers from their work", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await start(stack, { n1: gibibyte });
  const { client } = plane;
  await client.resource(storageClasses).create({
    metadata: { name: "odd" },
    provisioner: "kubernetes.io/aws-ebs",
    parameters: { zone: "a" },
    allowedTopologies: [{ matchLabelExpressions: [{ key: "zone", values: ["a"] }] }],
  });
  await client.resource(persistentVolumeClaims).create({
    metadata: { name: "odd", ...where, annotations: { "volume.kubernetes.io/selected-node": "n1" } },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, storageClassName: "odd" },
  });
  await plane.restartControllers();
  await makeClass(plane, "late");
  await untilTold(plane, ["late n1 1Gi"]);
});

for (const failpoint of ["controllers.capacity.saved", "controllers.capacity.deleted"])
  test(`controllers killed at ${failpoint} leave what is to be known, once`, async () => {
    await using stack = new AsyncDisposableStack();
    const plane = await start(stack, { n1: gibibyte, n2: gibibyte });
    await makeClass(plane, "late");
    await untilTold(plane, ["late n1 1Gi", "late n2 1Gi"]);
    await plane.stopControllers();
    await makeClass(plane, "later");
    await plane.client.resource(storageClasses).delete("late");
    await untilKilled(doomedControllers(stack, plane, failpoint), failpoint);
    await plane.restartControllers();
    await untilTold(plane, ["later n1 1Gi", "later n2 1Gi"]);
  });
