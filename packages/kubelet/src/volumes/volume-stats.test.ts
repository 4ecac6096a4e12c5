import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { StorageHealthErrorType, VolumeHealthErrorType, VolumeUsage_Unit as Unit } from "@tripod/api/csi";
import type { CSIDriver } from "@tripod/api/kubernetes";
import { layoutOf, silentLogger } from "@tripod/base";
import { EventRecorder, events, KubeClient } from "@tripod/kube";
import { podEvents } from "../objects/event-writer.ts";
import { type BindDriver, bindDriverName, startBindDriver } from "../testing/bind-driver.ts";
import { rigNodeName, startVolumeRig, type VolumeRig } from "../testing/volume-rig.ts";
import { followHealth } from "./volume-health.ts";
import { VolumeStats } from "./volume-stats.ts";

let rig: VolumeRig;
let driver: BindDriver;
let asked = 0;
let hang = Promise.resolve();
let problems: { status: VolumeHealthErrorType; reason: string; message: string }[] = [];
let backend: { status: StorageHealthErrorType; reason: string; message: string }[] = [];
let heard = Promise.withResolvers<void>();

before(async () => {
  rig = await startVolumeRig();
  driver = await startBindDriver(rig.layout, {
    node: {
      async nodeGetVolumeStats({ volumeId }) {
        asked += 1;
        if (volumeId === "handle-hangs") await hang;
        return {
          usage: [
            { unit: Unit.BYTES, total: 100n, available: 60n, used: 40n },
            { unit: Unit.INODES, total: 10n, available: 7n, used: -3n },
          ],
        };
      },
      nodeGetStorageHealth: async () => ({ backendHealth: backend }),
      async nodeGetVolumeHealth({ volumeId }) {
        heard.resolve();
        return { volumeHealth: { volumeId, healthStatuses: problems } };
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

const publications = () => rig.volumes.publications();

test("usage is the driver's, kept for a while, and a driver that hangs keeps nobody waiting", async () => {
  for (const name of ["quick", "hangs"]) rig.createClaim(name);
  const pod = rig.createPod("stats", { quick: "quick", hangs: "hangs" });
  const uid = pod.metadata?.uid ?? "";
  await rig.setUp(pod);
  const released = Promise.withResolvers<void>();
  hang = released.promise;
  await using stats = new VolumeStats({ drivers: rig.drivers, publications, patienceMs: 200, log: silentLogger });
  const first = (await stats.latest()).get(uid);
  assert.deepEqual(
    first?.map((stat) => ({ ...stat, time: "" })),
    [
      {
        time: "",
        name: "quick",
        pvcRef: { name: "quick", namespace: "default" },
        capacityBytes: 100,
        availableBytes: 60,
        usedBytes: 40,
        inodes: 10,
        inodesFree: 7,
        inodesUsed: 0,
      },
    ],
  );
  await stats.latest();
  assert.equal(asked, 2, "neither is asked again so soon, and the one that hangs not at all");
  released.resolve();
  while ((await stats.latest()).get(uid)?.length !== 2);
  await rig.tearDown(pod);
  assert.equal((await stats.latest()).size, 0);
});

test("a driver without GET_VOLUME_STATS has its file system looked at", async () => {
  await using plain = await startBindDriver(layoutOf(join(rig.layout.root ?? "", "plain")));
  rig.drivers.register(bindDriverName, plain.endpoint);
  rig.createClaim("plain");
  const pod = rig.createPod("plain", { v: "plain" });
  const mounted = (await rig.setUp(pod)).get("v");
  writeFileSync(join(mounted?.kind === "folder" ? mounted.hostPath : "", "file"), "something");
  await using stats = new VolumeStats({ drivers: rig.drivers, publications, log: silentLogger });
  const [stat] = (await stats.latest()).get(pod.metadata?.uid ?? "") ?? [];
  assert((stat?.capacityBytes ?? 0) > 0 && (stat?.usedBytes ?? 0) > 0);
  await rig.tearDown(pod);
  rig.drivers.register(bindDriverName, driver.endpoint);
});

test("a volume that is unwell is a Warning at its Pod, storage that is one at the Node, and recoveries are told once", async () => {
  rig.createClaim("ill");
  const pod = rig.createPod("ill", { v: "ill" });
  await rig.setUp(pod);
  const client = KubeClient.fromKubeconfig(rig.kubeconfig);
  const log = silentLogger;
  const recorder = new EventRecorder({ events: client.resource(events), component: "kubelet", log });
  const stop = new AbortController();
  const reports = podEvents(recorder, rigNodeName);
  const { drivers } = rig;
  problems = [{ status: VolumeHealthErrorType.DATA_LOSS, reason: "BadSectors", message: "3 files are gone" }];
  backend = [{ status: StorageHealthErrorType.STORAGE_UNREACHABLE, reason: "Link", message: "no path is left" }];
  const work = followHealth({ drivers, publications, events: reports, log, signal: stop.signal, everyMs: 20 });
  await rig.told("ill", "VolumeConditionAbnormal: Volume v: DATA_LOSS: BadSectors: 3 files are gone");
  await rig.told(
    rigNodeName,
    `StorageConditionAbnormal: driver ${bindDriverName}: STORAGE_UNREACHABLE: Link: no path is left`,
  );
  for (let round = 0; round < 3; round += 1) {
    heard = Promise.withResolvers();
    await heard.promise;
  }
  problems = [];
  backend = [];
  await rig.told("ill", "VolumeConditionNormal: Volume v: is well again");
  await rig.told(rigNodeName, `StorageConditionNormal: driver ${bindDriverName}: is well again`);
  stop.abort();
  await work;
  await recorder.close();
  client[Symbol.dispose]();
  assert.equal(rig.events("ill").length, 2);
  assert.equal(rig.events(rigNodeName).length, 2);
  await rig.tearDown(pod);
});
