import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { CSIDriver } from "@tripod/api/kubernetes";
import { silentLogger } from "@tripod/base";
import { bindMount, mountTmpfs, unmount } from "@tripod/linux";
import { type BindDriver, bindDriverName, startBindDriver } from "../testing/bind-driver.ts";
import { startVolumeRig, type VolumeRig } from "../testing/volume-rig.ts";
import { followOrphans } from "./follow-orphans.ts";

let rig: VolumeRig;
let driver: BindDriver;

before(async () => {
  rig = await startVolumeRig();
  driver = await startBindDriver(rig.layout);
  rig.drivers.register(bindDriverName, driver.endpoint);
  rig.api.create<CSIDriver>("csidrivers", { metadata: { name: bindDriverName }, spec: { attachRequired: false } });
});
after(async () => {
  await driver[Symbol.asyncDispose]();
  await rig[Symbol.asyncDispose]();
});

const podFolder = (uid = ""): string => join(rig.layout.kubeletDir, "pods", uid);

test("an orphan waits until the Pods are known and its driver is there, and a volume in use is left alone", async () => {
  for (const name of ["lost", "used"]) rig.createClaim(name);
  const lost = rig.createPod("lost", { v: "lost" });
  const used = rig.createPod("used", { v: "used" });
  await rig.setUp(lost);
  await rig.setUp(used);
  // The Pod's folder is lost, its mount with it; what is staged stays.
  const target = join(podFolder(lost.metadata?.uid), "volumes/kubernetes.io~csi/pv-lost");
  unmount(join(target, "mount"), { detach: true });
  rmSync(podFolder(lost.metadata?.uid), { recursive: true });
  rig.drivers.unregister(bindDriverName);
  await rig.restart();
  assert.equal(rig.inUse.length, 2);
  const known = Promise.withResolvers<void>();
  const { drivers, volumes } = rig;
  const told = Promise.withResolvers<object>();
  const log = { ...silentLogger, warn: (fields: object) => told.resolve(fields) };
  const work = followOrphans({ volumes, drivers, podsKnown: known.promise, log, signal: AbortSignal.timeout(20_000) });
  assert.equal(rig.mounts().filter((path) => path.endsWith("/globalmount")).length, 2);
  known.resolve();
  assert.match(JSON.stringify(await told.promise), /driver name bind.csi.test not found/);
  drivers.register(bindDriverName, driver.endpoint);
  await work;
  assert.equal(rig.mounts().filter((path) => path.endsWith("/globalmount")).length, 1);
  assert.deepEqual(rig.inUse, [`kubernetes.io/csi/${bindDriverName}^handle-used`]);
  await rig.tearDown(used);
  assert.deepEqual(rig.mounts(), []);
  assert.deepEqual(rig.inUse, []);
});

test("a staged volume of which nothing is known is unmounted, and its data stays", async () => {
  const data = join(rig.layout.root ?? "", "precious");
  mkdirSync(data);
  writeFileSync(join(data, "file"), "kept");
  const folder = join(rig.layout.kubeletDir, "plugins/kubernetes.io/csi", bindDriverName, "0".repeat(64));
  mkdirSync(join(folder, "globalmount"), { recursive: true });
  bindMount(data, join(folder, "globalmount"));
  writeFileSync(join(folder, "vol_data.json"), "garbage");
  assert.equal((await rig.volumes.unstageOrphans(AbortSignal.timeout(5000))).size, 0);
  assert.equal(existsSync(folder), false);
  assert.equal(readFileSync(join(data, "file"), "utf8"), "kept");
});

test("what is mounted anywhere below a Pod's folder is detached, never deleted", async () => {
  const data = join(rig.layout.root ?? "", "foreign");
  mkdirSync(data);
  writeFileSync(join(data, "file"), "kept");
  const pod = rig.createPod("foreign", {}, { volumes: [{ name: "scratch", emptyDir: {} }] });
  const mounted = (await rig.setUp(pod)).get("scratch");
  const scratch = mounted?.kind === "folder" ? mounted.hostPath : "";
  for (const [index, place] of [
    join(scratch, "by a container"),
    join(podFolder(pod.metadata?.uid), "volumes/elsewhere"),
    join(podFolder(pod.metadata?.uid), "plugins"),
  ].entries()) {
    mkdirSync(place, { recursive: true });
    if (index === 0) mountTmpfs(place, { mode: 0o755 });
    bindMount(data, place);
  }
  symlinkSync(data, join(scratch, "a link"));
  await rig.tearDown(pod);
  assert.equal(readFileSync(join(data, "file"), "utf8"), "kept");
  assert.deepEqual(rig.mounts(), []);
  assert.equal(existsSync(podFolder(pod.metadata?.uid)), false);
});
