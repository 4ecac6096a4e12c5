import assert from "node:assert/strict";
import { mkdirSync, readFileSync, statfsSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { PersistentVolume } from "@tripod/api/kubernetes";
import { attachLoop, detachLoop, MOUNT_ATTR, mountInfo, setMountAttributes } from "@tripod/linux";
import { startVolumeRig, type VolumeRig } from "../testing/volume-rig.ts";

let rig: VolumeRig;
const stack = new AsyncDisposableStack();
before(async () => {
  rig = stack.use(await startVolumeRig());
  mkdirSync(disks(), { recursive: true });
});
after(() => stack.disposeAsync());

const disks = (): string => join(rig.layout.kubeletDir, "disks");

/** A block device of that size, of a file that begins with `content`. */
function device(name: string, mebibytes: number, content = ""): string {
  const file = join(disks(), name);
  writeFileSync(file, content);
  truncateSync(file, mebibytes * 1024 * 1024);
  const path = attachLoop(file);
  stack.defer(() => {
    detachLoop(path);
  });
  return path;
}

/** A claim whose volume is local. */
function createLocal(name: string, path: string, fsType?: string): void {
  rig.createClaim(name);
  rig.api.update("persistentvolumes", `pv-${name}`, (object) => {
    const { csi: _, ...spec } = (object as PersistentVolume).spec; // of that kind
    return { ...object, spec: { ...spec, local: { path, ...(fsType === undefined ? {} : { fsType }) } } };
  });
}

async function folderOf(pod: Parameters<VolumeRig["setUp"]>[0]): Promise<string> {
  const volume = (await rig.setUp(pod)).get("v");
  assert.equal(volume?.kind, "folder");
  return volume.hostPath;
}

for (const [fsType, mebibytes] of [
  [undefined, 32],
  ["xfs", 300],
] as const)
  test(`an empty device gets ${fsType ?? "ext4"}, and keeps its data from Pod to Pod and for two at once`, async () => {
    const name = `disk-${fsType ?? "default"}`;
    const path = device(name, mebibytes);
    createLocal(name, path, fsType);
    const one = rig.createPod(`one-${name}`, { v: name });
    const two = rig.createPod(`two-${name}`, { v: name });
    const [first, second] = await Promise.all([folderOf(one), folderOf(two)]);
    assert.deepEqual(
      mountInfo().flatMap(({ source, type }) => (source === path ? [type] : [])),
      [fsType ?? "ext4", fsType ?? "ext4"],
    );
    assert.ok(statfsSync(first).blocks * statfsSync(first).bsize < mebibytes * 1024 * 1024);
    writeFileSync(join(first, "file"), "shared");
    assert.equal(readFileSync(join(second, "file"), "utf8"), "shared");
    await rig.tearDown(one);
    await rig.tearDown(two);
    const three = rig.createPod(`three-${name}`, { v: name });
    assert.equal(readFileSync(join(await folderOf(three), "file"), "utf8"), "shared");
    await rig.tearDown(three);
    assert.deepEqual(rig.mounts(), []);
  });

for (const [title, content, fsType, message] of [
  [
    "something unknown",
    "LUKS\xba\xbe",
    undefined,
    /holds something that is no file system known here, and is left alone/,
  ],
  [
    "another file system than the volume says",
    "XFSB",
    "ext4",
    /it holds xfs, the volume says ext4; nothing is overwritten/,
  ],
] as const)
  test(`a device that holds ${title} is left alone`, async () => {
    const name = `held-${content.slice(0, 4).toLowerCase()}`;
    const path = device(name, 32, content);
    createLocal(name, path, fsType);
    await assert.rejects(rig.setUp(rig.createPod(name, { v: name })), (error: AggregateError) =>
      message.test(String(error.errors[0])),
    );
    assert.equal(readFileSync(path).subarray(0, 4).toString("latin1"), content.slice(0, 4));
  });

test("a read-only volume, under two names in one Pod, is mounted once and read-only, also when a kill came between its mount and that", async () => {
  const path = device("sealed", 32);
  createLocal("sealed", path);
  const persistentVolumeClaim = { claimName: "sealed", readOnly: true };
  const volumes = ["v", "same"].map((name) => ({ name, persistentVolumeClaim }));
  const pod = rig.createPod("sealed", {}, { volumes });
  const folder = await folderOf(pod);
  const isSealed = (): boolean =>
    mountInfo().some(({ mountPoint, options }) => mountPoint === folder && options.includes("ro"));
  assert.ok(isSealed());
  assert.equal(rig.mounts().length, 1);
  setMountAttributes(folder, { clear: MOUNT_ATTR.RDONLY });
  await rig.restart();
  await rig.setUp(pod);
  assert.ok(isSealed());
  await rig.tearDown(pod);
});

test("a path that is not there, or a file, is told", async () => {
  writeFileSync(join(disks(), "plain"), "");
  for (const [name, message] of [
    ["nothing-there", /path does not exist on this node/],
    ["plain", /neither a directory nor a block device/],
  ] as const) {
    createLocal(name, join(disks(), name));
    await assert.rejects(rig.setUp(rig.createPod(name, { v: name })), (error: AggregateError) =>
      message.test(String(error.errors[0])),
    );
  }
});
