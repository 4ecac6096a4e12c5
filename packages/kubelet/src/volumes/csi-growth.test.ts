import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { after, before, test } from "node:test";
import type { CSIDriver, PersistentVolume, Pod } from "@tripod/api/kubernetes";
import { type ErrorCode, TripodError } from "@tripod/base";
import { type BindDriver, bindDriverName, startBindDriver } from "../testing/bind-driver.ts";
import { startVolumeRig, type VolumeRig } from "../testing/volume-rig.ts";

let rig: VolumeRig;
let driver: BindDriver;
/** What NodeExpandVolume was told, in order. */
const asked: {
  volumePath: string;
  stagingTargetPath: string;
  requiredBytes: bigint;
  secrets: object;
  access: string;
}[] = [];
/** The codes that the next calls fail with. */
let failures: ErrorCode[] = [];

before(async () => {
  rig = await startVolumeRig();
  driver = await startBindDriver(rig.layout, {
    node: {
      async nodeExpandVolume({ volumePath, stagingTargetPath, capacityRange, volumeCapability, secrets }) {
        const requiredBytes = capacityRange?.requiredBytes ?? 0n;
        const access = volumeCapability?.accessType.case ?? "";
        asked.push({ volumePath, stagingTargetPath, requiredBytes, access, secrets });
        const code = failures.shift();
        if (code !== undefined) throw new TripodError(code, "the disk does not stretch");
        return { capacityBytes: requiredBytes };
      },
    },
  });
  rig.drivers.register(bindDriverName, driver.endpoint);
  rig.api.create<CSIDriver>("csidrivers", { metadata: { name: bindDriverName }, spec: { attachRequired: false } });
});
after(async () => {
  await driver[Symbol.asyncDispose]();
  await rig[Symbol.asyncDispose]();
});

const gib = 1024n ** 3n;

test("a volume in use grows when its PersistentVolume has, and the claim says so", async () => {
  rig.createClaim("online");
  rig.api.update("persistentvolumes", "pv-online", (pv) => ({
    ...pv,
    spec: {
      ...pv.spec,
      csi: {
        driver: bindDriverName,
        volumeHandle: "handle-online",
        nodeExpandSecretRef: { name: "key", namespace: "default" },
      },
    },
  }));
  rig.api.create("secrets", {
    metadata: { name: "key", namespace: "default" },
    data: { key: Buffer.from("opensesame").toString("base64") },
  } as object as Pod); // a Secret; the memory takes any object
  const pod = rig.createPod("online", { v: "online" });
  const mounted = await rig.setUp(pod);
  assert.equal(asked.length, 0);
  rig.grow("online", "2Gi");
  await rig.setUp(pod);
  const volume = mounted.get("v");
  assert.deepEqual(asked.splice(0), [
    {
      volumePath: volume?.kind === "folder" ? volume.hostPath : "",
      stagingTargetPath: rig.mounts().find((path) => path.endsWith("/globalmount")),
      requiredBytes: 2n * gib,
      access: "mount",
      secrets: { key: "opensesame" },
    },
  ]);
  const { status } = rig.claim("online");
  assert.deepEqual(status?.capacity, { storage: "2Gi" });
  assert.equal(status?.allocatedResourceStatuses, undefined);
  assert.deepEqual(status?.conditions, []);
  for (const name of ["online"])
    await rig.told(name, "FileSystemResizeSuccessful: MountVolume.NodeExpandVolume succeeded");
  assert.equal(rig.events("online").length, 2, "one about the Pod, one about the claim");
  await rig.setUp(pod);
  assert.deepEqual(asked, [], "once is enough");
  await rig.tearDown(pod);
});

test("a volume that grew while it was nowhere grows when it is mounted, before the Pod gets it", async () => {
  rig.createClaim("offline");
  rig.grow("offline", "3Gi");
  failures = ["unavailable"];
  const pod = rig.createPod("offline", { v: "offline" });
  await assert.rejects(rig.setUp(pod), (error: AggregateError) =>
    /the disk does not stretch/.test(String(error.errors[0])),
  );
  assert.equal(rig.claim("offline").status?.allocatedResourceStatuses?.["storage"], "NodeResizeInProgress");
  await rig.setUp(pod);
  assert.equal(asked.splice(0).length, 2);
  assert.deepEqual(rig.claim("offline").status?.capacity, { storage: "3Gi" });
  await rig.tearDown(pod);
});

test("an older resizer writes a condition alone, and the node does the same", async () => {
  rig.createClaim("older");
  rig.grow("older", "2Gi");
  rig.api.update("persistentvolumeclaims", "default/older", (claim) => ({
    ...claim,
    status: {
      phase: "Bound",
      capacity: { storage: "1Gi" },
      conditions: [
        { type: "FileSystemResizePending", status: "True" },
        { type: "SomebodyElses", status: "True" },
      ],
    },
  }));
  const pod = rig.createPod("older", { v: "older" });
  await rig.setUp(pod);
  assert.equal(asked.splice(0).length, 1);
  assert.deepEqual(rig.claim("older").status?.capacity, { storage: "2Gi" });
  assert.deepEqual(
    rig.claim("older").status?.conditions?.map(({ type }) => type),
    ["SomebodyElses"],
  );
  await rig.tearDown(pod);
});

for (const [code, expected] of [
  ["invalid", "NodeResizeInfeasible"],
  ["out-of-range", "NodeResizeInfeasible"],
  ["internal", "NodeResizeInProgress"],
] as const) {
  test(`a driver that answers ${code} is an Event, a condition and ${expected}`, async () => {
    const name = `no-${code}`;
    rig.createClaim(name);
    const pod = rig.createPod(name, { v: name });
    await rig.setUp(pod);
    rig.grow(name, "2Gi");
    failures = [code];
    await rig.setUp(pod);
    const { status } = rig.claim(name);
    assert.equal(status?.allocatedResourceStatuses?.["storage"], expected);
    assert.deepEqual(status?.capacity, { storage: "1Gi" });
    assert.match(
      status?.conditions?.find(({ type }) => type === "NodeResizeError")?.message ?? "",
      /^failed to expand pvc with .*the disk does not stretch/,
    );
    await rig.told(name, "VolumeResizeFailed: NodeExpandVolume.NodeExpandVolume failed");
    assert(rig.volumes.lookAgainAtMs(pod.metadata?.uid ?? "") !== undefined, "it says when to look again");
    await rig.setUp(pod);
    assert.equal(asked.splice(0).length, 1, "not before its time");
    await rig.tearDown(pod);
  });
}

test("a driver that does not grow volumes in use is not asked again before the next mount", async () => {
  rig.createClaim("used");
  const pod = rig.createPod("used", { v: "used" });
  await rig.setUp(pod);
  rig.grow("used", "2Gi");
  failures = ["failed-precondition"];
  await rig.setUp(pod);
  await rig.setUp(pod);
  assert.equal(asked.splice(0).length, 1);
  await rig.tearDown(pod);
  await rig.setUp(pod);
  assert.equal(asked.splice(0).length, 1);
  assert.deepEqual(rig.claim("used").status?.capacity, { storage: "2Gi" });
  await rig.tearDown(pod);
});

test("a read-only volume is not grown, and two Events say so", async () => {
  rig.createClaim("read");
  const pod = rig.createPod(
    "read",
    {},
    {
      volumes: [{ name: "v", persistentVolumeClaim: { claimName: "read", readOnly: true } }],
    },
  );
  await rig.setUp(pod);
  rig.grow("read", "2Gi");
  await rig.setUp(pod);
  assert.deepEqual(asked, []);
  await rig.told("read", "FileSystemResizeFailed");
  await rig.tearDown(pod);
});

test("a shared volume that another node has grown is grown here too, unless the claim says that no node is needed", async () => {
  const shared = { accessModes: ["ReadWriteMany" as const] };
  for (const [name, annotations, calls] of [
    ["shared", {}, 1],
    ["elsewhere", { "volume.kubernetes.io/node-expansion-not-required": "true" }, 0],
  ] as const) {
    rig.createClaim(name, shared);
    const pod = rig.createPod(name, { v: name });
    await rig.setUp(pod);
    rig.grow(name, "2Gi");
    rig.api.update("persistentvolumeclaims", `default/${name}`, (claim) => ({
      ...claim,
      metadata: { ...claim.metadata, annotations },
      spec: { ...claim.spec, ...shared },
      status: { phase: "Bound", capacity: { storage: "2Gi" }, allocatedResources: { storage: "2Gi" } },
    }));
    await rig.setUp(pod);
    await rig.setUp(pod);
    assert.equal(asked.splice(0).length, calls, name);
    await rig.tearDown(pod);
  }
});

test("a volume that a stand-in makes after its PersistentVolume has grown, told the size of before, is grown at once", async () => {
  rig.createClaim("stood-in");
  rig.api.update("persistentvolumes", "pv-stood-in", (object) => {
    const { csi: _, ...spec } = (object as PersistentVolume).spec; // of that kind
    return {
      metadata: { ...object.metadata, annotations: { "pv.kubernetes.io/migrated-to": bindDriverName } },
      spec: { ...spec, awsElasticBlockStore: { volumeID: "vol-1" } },
    };
  });
  const pod = rig.createPod("stood-in", { v: "stood-in" });
  // What a resizer does that finds no volume yet: the claim is done with.
  driver.onStage = () => {
    driver.onStage = () => {};
    const capacity = { storage: "2Gi" };
    rig.api.update("persistentvolumes", "pv-stood-in", (pv) => ({ ...pv, spec: { ...pv.spec, capacity } }));
    rig.api.update("persistentvolumeclaims", "default/stood-in", (claim) => ({
      ...claim,
      status: { ...claim.status, capacity, allocatedResources: capacity },
    }));
  };
  await rig.setUp(pod);
  assert.deepEqual(
    asked.splice(0).map(({ requiredBytes }) => requiredBytes),
    [2n * gib],
  );
  await rig.setUp(pod);
  await rig.restart();
  await rig.setUp(pod);
  assert.equal(asked.length, 0);
  await rig.tearDown(pod);
});

test("nothing is left", () => {
  assert.deepEqual(rig.mounts(), []);
  assert.deepEqual(readdirSync(`${rig.layout.kubeletDir}/pods`), []);
});
