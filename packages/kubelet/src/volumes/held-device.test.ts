import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { CSIDriver, PersistentVolume } from "@tripod/api/kubernetes";
import { attachLoop, bindMount, detachLoop, isMountPoint, loopDevices, loopsOf } from "@tripod/linux";
import { bindDriverName, startBindDriver } from "../testing/bind-driver.ts";
import { startVolumeRig, type VolumeRig } from "../testing/volume-rig.ts";

let rig: VolumeRig;
const stack = new AsyncDisposableStack();
before(async () => {
  rig = stack.use(await startVolumeRig());
  const driver = stack.use(await startBindDriver(rig.layout));
  rig.drivers.register(bindDriverName, driver.endpoint);
  rig.api.create<CSIDriver>("csidrivers", { metadata: { name: bindDriverName }, spec: { attachRequired: false } });
});
after(() => stack.disposeAsync());

/** A block device of a file of that name. */
function device(name: string): string {
  const file = join(rig.layout.root ?? "", name);
  writeFileSync(file, "");
  truncateSync(file, 1 << 20);
  const path = attachLoop(file);
  stack.defer(() => {
    detachLoop(path);
  });
  return path;
}

function createLocal(name: string, path: string): void {
  rig.createClaim(name, { volumeMode: "Block" });
  rig.api.update("persistentvolumes", `pv-${name}`, (object) => {
    const { csi: _, ...spec } = (object as PersistentVolume).spec; // of that kind
    return { ...object, spec: { ...spec, local: { path } } };
  });
}

const places = {
  csi: { plugin: "kubernetes.io~csi", held: "plugins/kubernetes.io/csi/volumeDevices/pv-csi/dev" },
  local: {
    plugin: "kubernetes.io~local-volume",
    held: "plugins/kubernetes.io~local-volume/volumeDevices/pv-local",
  },
} as const;

/** The loop devices that keep a device of this node open. */
const locks = (): string[] =>
  loopDevices().flatMap(({ path, backingFile }) => (backingFile.startsWith(rig.layout.kubeletDir) ? [path] : []));

for (const [name, { plugin, held }] of Object.entries(places))
  test(`a ${name} block volume is held by each of its Pods where upstream holds it, and let go with it`, async () => {
    const disk = device(`disk-${name}`);
    if (name === "local") createLocal(name, disk);
    else rig.createClaim(name, { volumeMode: "Block" });
    const pods = ["one", "two"].map((each) => rig.createPod(`${name}-${each}`, { v: name }));
    for (const pod of pods) {
      const uid = pod.metadata?.uid ?? "";
      const volume = (await rig.setUp(pod)).get("v");
      assert.equal(volume?.kind, "device");
      const path = join(rig.layout.kubeletDir, held, uid);
      assert.ok(isMountPoint(path));
      assert.equal(statSync(path).rdev, statSync(volume.devicePath).rdev);
      assert.equal(
        readlinkSync(join(rig.layout.kubeletDir, "pods", uid, "volumeDevices", plugin, `pv-${name}`)),
        volume.devicePath,
      );
      // Found by upstream's kubelet by this path; only read, so that nothing of its page cache reaches the volume.
      const [lock] = loopDevices().filter(({ backingFile }) => backingFile === path);
      assert.deepEqual(loopsOf(path), [{ path: lock?.path, readOnly: true }]);
    }
    await rig.restart();
    for (const pod of pods) await rig.setUp(pod);
    assert.equal(locks().length, 2);
    for (const pod of pods) await rig.tearDown(pod);
    assert.deepEqual(locks(), []);
    assert.deepEqual(rig.mounts(), []);
    assert.deepEqual(readdirSync(join(rig.layout.kubeletDir, "pods")), []);
    assert.equal(existsSync(join(rig.layout.kubeletDir, held)), false);
  });

test("a hold on a device of another volume, from before, is let go for that of now", async () => {
  const [old, now] = [device("old"), device("now")];
  createLocal("swapped", old);
  const pod = rig.createPod("swapped", { v: "swapped" });
  await rig.setUp(pod);
  rig.api.update("persistentvolumes", "pv-swapped", (object) => {
    const { spec } = object as PersistentVolume; // of that kind
    return { ...object, spec: { ...spec, local: { path: now } } };
  });
  await rig.restart();
  await rig.setUp(pod);
  const held = join(
    rig.layout.kubeletDir,
    "plugins/kubernetes.io~local-volume/volumeDevices/pv-swapped",
    pod.metadata?.uid ?? "",
  );
  assert.equal(statSync(held).rdev, statSync(now).rdev);
  assert.equal(locks().length, 1);
  await rig.tearDown(pod);
  assert.deepEqual(locks(), []);
});

test("what upstream's kubelet left in the middle of its unmapping is taken away: the hold, but no link any more", async () => {
  for (const name of ["csi-left", "local-left"]) {
    const disk = device(`disk-${name}`);
    if (name === "local-left") createLocal(name, disk);
    else rig.createClaim(name, { volumeMode: "Block" });
    const pod = rig.createPod(name, { v: name });
    await rig.setUp(pod);
    for (const lock of locks()) detachLoop(lock);
    rmSync(join(rig.layout.kubeletDir, "pods", pod.metadata?.uid ?? "", "volumeDevices"), { recursive: true });
    await rig.restart();
    await rig.tearDown(pod);
    assert.deepEqual(rig.mounts(), []);
  }
});

test("a hold of which nothing else is left keeps its Pod on the list of those to be taken down", async () => {
  const held = join(rig.layout.kubeletDir, places.csi.held, "gone");
  mkdirSync(join(held, ".."), { recursive: true });
  writeFileSync(held, "");
  bindMount(device("disk-gone"), held);
  attachLoop(held);
  await rig.restart();
  assert.deepEqual(await rig.volumes.podsOnDisk(), ["gone"]);
  await rig.volumes.tearDown("gone", AbortSignal.timeout(5000));
  assert.deepEqual(locks(), []);
  assert.deepEqual(rig.mounts(), []);
});

test("a local volume of mode Block that is a file is told", async () => {
  const path = join(rig.layout.root ?? "", "plain");
  writeFileSync(path, "");
  createLocal("plain", path);
  await assert.rejects(rig.setUp(rig.createPod("plain", { v: "plain" })), (error: AggregateError) =>
    /is no block device/.test(String(error.errors[0])),
  );
});
