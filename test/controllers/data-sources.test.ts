import assert from "node:assert/strict";
import { test } from "node:test";
import type { PersistentVolumeClaim, TypedObjectReference } from "@tripod/api/kubernetes";
import {
  events,
  persistentVolumeClaims,
  persistentVolumes,
  storageClasses,
  volumePopulators,
  volumeSnapshotClasses,
  volumeSnapshots,
} from "@tripod/kube";
import { addNode, type ControlPlane, startControlPlane } from "./control-plane.ts";
import { driverName, MemoryDriver } from "./memory-driver.ts";
import { MemorySnapshots } from "./memory-snapshots.ts";

const where = { namespace: "default" };
const inDefault = (name: string) => ({ name, ...where });
const isBound = (claim: PersistentVolumeClaim | undefined): boolean => claim?.status?.phase === "Bound";
const cloning = "provisioner.storage.kubernetes.io/cloning-protection";

interface Plane extends ControlPlane {
  readonly driver: MemoryDriver;
  readonly taken: MemorySnapshots;
  readonly claim: (name: string, dataSourceRef?: TypedObjectReference, size?: string) => Promise<unknown>;
  /** Until an event of that reason is told of a claim, with a message like this. */
  readonly told: (name: string, reason: string, message: RegExp) => Promise<void>;
}

async function withDriver(stack: AsyncDisposableStack): Promise<Plane> {
  const plane = await startControlPlane(stack);
  const { client } = plane;
  const [driver, taken] = [new MemoryDriver(), new MemorySnapshots()];
  await addNode(client, "n1");
  await driver.start(stack, plane.layout, client, { nodes: ["n1"], snapshots: taken });
  await client.resource(storageClasses).create({ metadata: { name: "now" }, provisioner: driverName });
  await client
    .resource(volumeSnapshotClasses)
    .create({ metadata: { name: "fast" }, driver: driverName, deletionPolicy: "Delete" });
  return {
    ...plane,
    driver,
    taken,
    claim: (name, dataSourceRef, size = "1Gi") =>
      client.resource(persistentVolumeClaims).create({
        metadata: inDefault(name),
        spec: {
          accessModes: ["ReadWriteOnce"],
          resources: { requests: { storage: size } },
          storageClassName: "now",
          ...(dataSourceRef === undefined ? {} : { dataSourceRef }),
        },
      }),
    async told(name, reason, message) {
      const signal = AbortSignal.timeout(15_000);
      const fieldSelector = `involvedObject.name=${name}`;
      for await (const { object } of client.resource(events).watch({ ...where, fieldSelector, signal }))
        if (object.reason === reason && message.test(object.message ?? "")) return;
      throw new Error(`no event ${reason} like ${message} about ${name}`);
    },
  };
}

const snapshotRef = (name: string): TypedObjectReference => ({
  apiGroup: "snapshot.storage.k8s.io",
  kind: "VolumeSnapshot",
  name,
});
const claimRef = (name: string): TypedObjectReference => ({ kind: "PersistentVolumeClaim", name });
const makeSnapshot = (plane: Plane, name: string) =>
  plane.client.resource(volumeSnapshots).create({
    metadata: inDefault(name),
    spec: { source: { persistentVolumeClaimName: "data" }, volumeSnapshotClassName: "fast" },
  });

test("a volume is made of a snapshot once that is ready; until then neither goes, and it is told what is waited for", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await withDriver(stack);
  const { client, until, driver, taken, claim, told } = plane;
  await claim("data");
  await until(persistentVolumeClaims, inDefault("data"), isBound);
  await claim("restored", snapshotRef("snap"), "2Gi");
  await told("restored", "ProvisioningFailed", /VolumeSnapshot snap is not there/);
  taken.asksUntilReady = 3;
  await makeSnapshot(plane, "snap");
  await told("restored", "ProvisioningFailed", /VolumeSnapshot snap is not ready to use yet/);
  await client.resource(volumeSnapshots).delete("snap", where);
  await told("snap", "SnapshotDeletePending", /goes when restored is bound or gone/);
  const bound = await until(persistentVolumeClaims, inDefault("restored"), isBound);
  const request = driver.volumes.get(`id-${bound?.spec.volumeName}`);
  assert.equal(request?.volumeContentSource?.type.case, "snapshot");
  assert.match(JSON.stringify(request?.volumeContentSource?.type.value), /snap-snapshot-/);
  // Restored, it is not needed any more.
  await until(volumeSnapshots, inDefault("snap"), (each) => each === undefined);
  assert.equal(taken.snapshots.size, 0);

  await makeSnapshot(plane, "second");
  await until(volumeSnapshots, inDefault("second"), (each) => each?.status?.readyToUse === true);
  await claim("small", snapshotRef("second"), "1Mi");
  await told("small", "ProvisioningFailed", /VolumeSnapshot second needs 1Gi, and the claim asks for 1Mi/);
});

test("a volume is cloned once its source is bound, which is held meanwhile", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await withDriver(stack);
  const { client, until, driver, claim, told } = plane;
  await claim("copy", claimRef("data"));
  await told("copy", "ProvisioningFailed", /PersistentVolumeClaim data is not there/);
  const held = Promise.withResolvers<void>();
  const making = Promise.withResolvers<void>();
  driver.onCreated = async ({ volumeContentSource }) => {
    if (volumeContentSource === undefined) return;
    making.resolve();
    await held.promise;
  };
  await claim("data");
  await making.promise;
  const source = await client.resource(persistentVolumeClaims).get("data", where);
  assert.ok(source.metadata.finalizers?.includes(cloning));
  await client.resource(persistentVolumeClaims).delete("data", where);
  held.resolve();
  const bound = await until(persistentVolumeClaims, inDefault("copy"), isBound);
  const content = driver.volumes.get(`id-${bound?.spec.volumeName}`)?.volumeContentSource;
  assert.deepEqual(content?.type.case === "volume" ? content.type.value.volumeId : "", `id-${source.spec.volumeName}`);
  await until(persistentVolumeClaims, inDefault("data"), (each) => each === undefined);
  await claim("small", claimRef("copy"), "1Mi");
  await told("small", "ProvisioningFailed", /PersistentVolumeClaim copy needs 1Gi, and the claim asks for 1Mi/);
});

test("a populator fills a volume under another claim's name and hands it over; without one it is told", async () => {
  await using stack = new AsyncDisposableStack();
  const plane = await withDriver(stack);
  const { client, until, driver, claim, told } = plane;
  await claim("unknown", { apiGroup: "hello.example.com", kind: "Hello", name: "x" });
  await told("unknown", "UnrecognizedDataSourceKind", /does not match any registered VolumePopulator/);
  await client.resource(volumePopulators).create({
    metadata: { name: "greeter" },
    sourceKind: { group: "greetings.example.com", kind: "Greeting" },
  });
  await claim("greeted", { apiGroup: "greetings.example.com", kind: "Greeting", name: "hi" });
  await told("greeted", "Provisioning", /Assuming an external populator/);
  assert.equal(driver.createCalls, 0);

  // What a populator does: a claim of its own, a Pod that fills it, and then the volume's claim is another.
  await claim("prime");
  const prime = await until(persistentVolumeClaims, inDefault("prime"), isBound);
  const name = prime?.spec.volumeName ?? "";
  const greeted = await client.resource(persistentVolumeClaims).get("greeted", where);
  const { uid, resourceVersion } = greeted.metadata;
  const patch = { spec: { claimRef: { ...inDefault("greeted"), uid, resourceVersion } } };
  await client.resource(persistentVolumes).patch(name, patch, { type: "strategic" });
  const bound = await until(persistentVolumeClaims, inDefault("greeted"), isBound);
  assert.equal(bound?.spec.volumeName, name);
  await until(persistentVolumeClaims, inDefault("prime"), (each) => each?.status?.phase === "Lost");
  await client.resource(persistentVolumeClaims).delete("prime", where);
  await until(persistentVolumeClaims, inDefault("prime"), (each) => each === undefined);
  const volume = await until(persistentVolumes, { name }, (each) => each?.status?.phase === "Bound");
  assert.equal(volume?.spec.claimRef?.uid, uid);
  assert.equal(driver.volumes.size, 1);
  const { items } = await client.resource(events).list({ ...where, fieldSelector: "involvedObject.name=greeted" });
  assert.ok(!items.some(({ reason }) => reason === "UnrecognizedDataSourceKind"));
});
