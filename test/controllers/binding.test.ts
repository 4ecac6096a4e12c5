import assert from "node:assert/strict";
import { test } from "node:test";
import { events, persistentVolumeClaims, persistentVolumes, pods, storageClasses } from "@tripod/kube";
import { addNode, type ControlPlane, startControlPlane } from "./control-plane.ts";
import { doomedControllers, untilKilled } from "./doomed-controllers.ts";
import { driverName, MemoryDriver } from "./memory-driver.ts";

const where = { namespace: "default" };

const makeVolume = ({ client }: ControlPlane, name: string, storageClassName: string) =>
  client.resource(persistentVolumes).create({
    metadata: { name },
    spec: {
      capacity: { storage: "1Gi" },
      accessModes: ["ReadWriteOnce"],
      storageClassName,
      hostPath: { path: "/srv" },
    },
  });

const makeClaim = ({ client }: ControlPlane, name: string, storageClassName: string) =>
  client.resource(persistentVolumeClaims).create({
    metadata: { name, ...where },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, storageClassName },
  });

const use = ({ client }: ControlPlane, name: string) =>
  client.resource(pods).create({
    metadata: { name, ...where },
    spec: {
      containers: [{ name: "c", image: "x" }],
      volumes: [{ name: "v", persistentVolumeClaim: { claimName: name } }],
    },
  });

const untilBound = async ({ until }: ControlPlane, name: string): Promise<string> => {
  const claim = await until(persistentVolumeClaims, { name, ...where }, (each) => each?.status?.phase === "Bound");
  return claim?.spec.volumeName ?? "";
};

const makeClass = ({ client }: ControlPlane, name: string, provisioner: string) =>
  client
    .resource(storageClasses)
    .create({ metadata: { name }, provisioner, volumeBindingMode: "WaitForFirstConsumer" });

/** Every volume with the claim that has it. */
async function owners({ client }: ControlPlane): Promise<Record<string, string>> {
  const { items } = await client.resource(persistentVolumes).list();
  return Object.fromEntries(items.map(({ metadata, spec }) => [metadata.name, spec.claimRef?.name ?? ""]));
}

test("claims that came first get the volumes that come later, a volume each", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await startControlPlane(stack);
  const names = Array.from({ length: 20 }, (_, index) => `x${index}`);
  await Promise.all(names.map((name) => makeClaim(plane, name, "manual")));
  await Promise.all(names.map((name) => makeVolume(plane, name, "manual")));
  const taken = new Set(await Promise.all(names.map((name) => untilBound(plane, name))));
  assert.equal(taken.size, names.length);
});

test("a volume that is reserved for a claim is its, whatever its class, and nobody else's", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await startControlPlane(stack);
  const { client, until } = plane;
  await makeVolume(plane, "v", "one");
  await client.resource(persistentVolumes).patch("v", { spec: { claimRef: { ...where, name: "mine" } } });
  await makeClaim(plane, "other", "one");
  const signal = AbortSignal.timeout(15_000);
  for await (const { object } of client.resource(events).watch({ ...where, signal }))
    if (object.involvedObject.name === "other") {
      assert.equal(object.reason, "ProvisioningFailed");
      break;
    }
  await makeClaim(plane, "mine", "two");
  assert.equal(await untilBound(plane, "mine"), "v");
  const other = await until(persistentVolumeClaims, { name: "other", ...where }, (each) => each !== undefined);
  assert.equal(other?.status?.phase, "Pending");
  const volume = await client.resource(persistentVolumes).get("v");
  assert.equal(volume.metadata.annotations?.["pv.kubernetes.io/bound-by-controller"], undefined);
});

test("controllers killed at controllers.binder.volume-claimed bind each claim once", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await startControlPlane(stack);
  await plane.stopControllers();
  const failpoint = "controllers.binder.volume-claimed";
  const doomed = doomedControllers(stack, plane, failpoint);
  for (const name of ["a", "b"]) await makeVolume(plane, name, "manual");
  for (const name of ["c", "d"]) await makeClaim(plane, name, "manual");
  await untilKilled(doomed, failpoint);
  await plane.restartControllers();
  const bound = [await untilBound(plane, "c"), await untilBound(plane, "d")];
  assert.deepEqual(await owners(plane), { [bound[0] ?? ""]: "c", [bound[1] ?? ""]: "d" });
});

test("controllers killed at controllers.scheduler.volume-reserved give the Pod that volume", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await startControlPlane(stack);
  await addNode(plane.client, "n1");
  await makeClass(plane, "late", "kubernetes.io/no-provisioner");
  for (const name of ["a", "b"]) await makeVolume(plane, name, "late");
  await makeClaim(plane, "web", "late");
  await plane.stopControllers();
  const failpoint = "controllers.scheduler.volume-reserved";
  const doomed = doomedControllers(stack, plane, failpoint);
  await use(plane, "web");
  await untilKilled(doomed, failpoint);
  await plane.restartControllers();
  await plane.until(pods, { name: "web", ...where }, (pod) => pod?.spec.nodeName === "n1");
  const bound = await untilBound(plane, "web");
  assert.deepEqual(Object.values(await owners(plane)).sort(), ["", "web"]);
  assert.equal((await owners(plane))[bound], "web");
});

test("controllers killed at controllers.scheduler.node-selected have one volume made, there", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await startControlPlane(stack);
  const driver = new MemoryDriver();
  await addNode(plane.client, "n1");
  await driver.start(stack, plane.layout, plane.client, { nodes: ["n1"] });
  await makeClass(plane, "late", driverName);
  await makeClaim(plane, "web", "late");
  await plane.stopControllers();
  const failpoint = "controllers.scheduler.node-selected";
  const doomed = doomedControllers(stack, plane, failpoint);
  await use(plane, "web");
  await untilKilled(doomed, failpoint);
  await plane.restartControllers();
  await plane.until(pods, { name: "web", ...where }, (pod) => pod?.spec.nodeName === "n1");
  assert.deepEqual(Object.keys(await owners(plane)), [await untilBound(plane, "web")]);
  assert.equal(driver.volumes.size, 1);
});

test("a volume reserved for a claim that wants files is told, as is the claim, when it is a block device", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await startControlPlane(stack);
  const { client } = plane;
  const claim = await makeClaim(plane, "files", "by-hand");
  await client.resource(persistentVolumes).create({
    metadata: { name: "device" },
    spec: {
      capacity: { storage: "1Gi" },
      accessModes: ["ReadWriteOnce"],
      storageClassName: "by-hand",
      volumeMode: "Block",
      local: { path: "/dev/x" },
      nodeAffinity: {
        required: {
          nodeSelectorTerms: [
            { matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In" as const, values: ["n1"] }] },
          ],
        },
      },
      claimRef: { ...where, name: "files", uid: claim.metadata.uid },
    },
  });
  const told = new Map<string, string | undefined>();
  const signal = AbortSignal.timeout(15_000);
  for await (const { object } of client.resource(events).watch({ ...where, signal })) {
    if (object.reason === "VolumeMismatch") told.set(object.involvedObject.kind ?? "", object.message);
    if (told.size === 2) break;
  }
  const end = "due to incompatible volumeMode.";
  assert.deepEqual(Object.fromEntries(told), {
    PersistentVolume: `Cannot bind PersistentVolume to requested PersistentVolumeClaim "files" ${end}`,
    PersistentVolumeClaim: `Cannot bind PersistentVolume "device" to requested PersistentVolumeClaim ${end}`,
  });
  assert.equal((await client.resource(persistentVolumeClaims).get("files", where)).spec.volumeName, undefined);
});

test("controllers killed at controllers.binder.volume-migrated bind the cloud's volume, whose driver stays", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await startControlPlane(stack);
  await plane.stopControllers();
  const failpoint = "controllers.binder.volume-migrated";
  const doomed = doomedControllers(stack, plane, failpoint, { standIns: { "ebs.csi.aws.com": driverName } });
  await plane.client.resource(persistentVolumes).create({
    metadata: { name: "ebs" },
    spec: {
      capacity: { storage: "1Gi" },
      accessModes: ["ReadWriteOnce"],
      storageClassName: "gp2",
      awsElasticBlockStore: { volumeID: "vol-1" },
    },
  });
  await makeClaim(plane, "data", "gp2");
  await untilKilled(doomed, failpoint);
  await plane.restartControllers();
  assert.equal(await untilBound(plane, "data"), "ebs");
  const { metadata } = await plane.client.resource(persistentVolumes).get("ebs");
  assert.equal(metadata.annotations?.["pv.kubernetes.io/migrated-to"], driverName);
});
