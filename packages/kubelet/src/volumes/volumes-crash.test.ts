import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { CSIDriver, PersistentVolume, Pod } from "@tripod/api/kubernetes";
import { attachLoop, detachLoop, loopDevices } from "@tripod/linux";
import { type BindDriver, bindDriverName, startBindDriver } from "../testing/bind-driver.ts";
import type { VolumesJob } from "../testing/volumes-main.ts";
import { startVolumeRig, type VolumeRig } from "../testing/volume-rig.ts";

const setUpPoints = [
  "kubelet.csi.claimed",
  "kubelet.csi.before-stage",
  "kubelet.csi.staged",
  "kubelet.csi.before-publish",
  "kubelet.csi.published",
  "kubelet.csi.growth-begun",
  "kubelet.csi.expanded",
  "kubelet.csi.growth-recorded",
];
const devicePoints = ["kubelet.device.bound", "kubelet.device.held"];
const tearDownPoints = ["kubelet.csi.unpublished", "kubelet.csi.unstaged", "kubelet.volumes.torn-down"];

let rig: VolumeRig;
let driver: BindDriver;

before(async () => {
  rig = await startVolumeRig();
  driver = await startBindDriver(rig.layout, { node: { nodeExpandVolume: async () => ({}) } });
  rig.api.create<CSIDriver>("csidrivers", { metadata: { name: bindDriverName }, spec: { attachRequired: false } });
});
after(async () => {
  await driver[Symbol.asyncDispose]();
  await rig[Symbol.asyncDispose]();
});

/** Does one piece of work in a process of its own; resolves with its signal or what it printed. */
async function run(work: VolumesJob["work"], pod: Pod, failpoint?: string): Promise<string> {
  const { layout, kubeconfig } = rig;
  const job: VolumesJob = { kubeletDir: layout.kubeletDir, kubeconfig, endpoint: driver.endpoint, pod, work };
  const env = { ...process.env, ...(failpoint === undefined ? {} : { TRIPOD_FAILPOINT: failpoint }) };
  const main = join(import.meta.dirname, "../testing/volumes-main.ts");
  const child: ChildProcess = spawn(process.execPath, [main, JSON.stringify(job)], {
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  let printed = "";
  child.stdout?.on("data", (chunk: Buffer) => (printed += chunk.toString()));
  await once(child, "close");
  return child.signalCode ?? printed.trim();
}

/** What a volume has left on the node. */
function leftovers(): string[] {
  const csi = join(rig.layout.kubeletDir, "plugins/kubernetes.io/csi");
  const inside = (path: string): string[] =>
    existsSync(path) ? readdirSync(path).map((name) => join(path, name)) : [];
  return [
    ...rig.mounts(),
    ...loopDevices().flatMap(({ backingFile }) => (backingFile.startsWith(rig.layout.kubeletDir) ? [backingFile] : [])),
    ...inside(join(rig.layout.kubeletDir, "pods")),
    ...inside(join(csi, bindDriverName)),
    ...inside(join(rig.layout.kubeletDir, "plugins/kubernetes.io~local-volume/volumeDevices")),
    ...inside(join(csi, "volumeDevices/staging")),
    ...inside(join(csi, "volumeDevices/publish")),
    ...inside(join(csi, "volumeDevices")).filter((path) => !/\/(staging|publish)$/.test(path)),
  ];
}

for (const volumeMode of ["Filesystem", "Block"] as const) {
  const kind = volumeMode.toLowerCase();

  test(`killed at each step of the set-up of a ${kind} volume, it comes up, and leaves nothing when it goes`, async () => {
    const name = `up-${kind}`;
    rig.createClaim(name, { volumeMode });
    rig.grow(name, "2Gi");
    const pod = rig.createPod(name, { v: name });
    const points = [...setUpPoints, ...(volumeMode === "Block" ? devicePoints : [])];
    for (const point of points) assert.equal(await run("setUp", pod, point), "SIGKILL", point);
    assert.equal(await run("setUp", pod), "done");
    assert.deepEqual(rig.claim(name).status?.capacity, { storage: "2Gi" });
    for (const point of [...(volumeMode === "Block" ? ["kubelet.device.unlocked"] : []), ...tearDownPoints]) {
      assert.equal(await run("tearDown", pod, point), "SIGKILL", point);
      if (point === "kubelet.csi.unpublished")
        assert.equal(await run("setUp", pod), "done", "in between it comes back");
    }
    assert.equal(await run("tearDown", pod), "done");
    assert.deepEqual(leftovers(), []);
  });

  test(`killed at each step of the set-up of a ${kind} volume, and the Pod gone then, nothing is left and no data lost`, async () => {
    const name = `gone-${kind}`;
    rig.createClaim(name, { volumeMode });
    const pod = rig.createPod(name, { v: name });
    for (const point of [...setUpPoints.slice(0, 5), ...(volumeMode === "Block" ? devicePoints : [])]) {
      assert.equal(await run("setUp", pod, point), "SIGKILL", point);
      const data = join(rig.layout.root ?? "", `bind-driver/handle-${name}`);
      mkdirSync(data, { recursive: true });
      writeFileSync(join(data, "kept"), point);
      assert.equal(await run("tearDown", pod), "done", point);
      assert.deepEqual(leftovers(), [], point);
      assert.equal(readFileSync(join(data, "kept"), "utf8"), point);
    }
  });

  test(`a staged ${kind} volume that no Pod uses is unstaged, and once more after a kill in between`, async () => {
    const name = `orphan-${kind}`;
    rig.createClaim(name, { volumeMode });
    const pod = rig.createPod(name, { v: name });
    assert.equal(await run("setUp", pod, "kubelet.csi.staged"), "SIGKILL");
    // As if the Pod's folder had been lost with the disk's last seconds.
    rmSync(join(rig.layout.kubeletDir, "pods"), { recursive: true });
    await rig.restart();
    assert.deepEqual(rig.inUse, [`kubernetes.io/csi/${bindDriverName}^handle-${name}`], "it must not be detached");
    assert.equal(await run("unstageOrphans", pod, "kubelet.csi.unstaged"), "SIGKILL");
    assert.equal(await run("unstageOrphans", pod), "done");
    assert.deepEqual(leftovers(), []);
  });
}

test("killed when a local volume's device has its file system but is not mounted, that file system is kept", async () => {
  await using stack = new AsyncDisposableStack();
  const file = join(rig.layout.root ?? "", "disk");
  writeFileSync(file, "");
  truncateSync(file, 32 << 20);
  const device = attachLoop(file);
  stack.defer(() => {
    detachLoop(device);
  });
  rig.createClaim("local");
  rig.api.update("persistentvolumes", "pv-local", (object) => {
    const { csi: _, ...spec } = (object as PersistentVolume).spec; // of that kind
    return { ...object, spec: { ...spec, local: { path: device } } };
  });
  const pod = rig.createPod("local", { v: "local" });
  /** The file system's own name. */
  const uuid = (): string => readFileSync(file).toString("hex", 1024 + 0x68, 1024 + 0x78);
  assert.equal(await run("setUp", pod, "kubelet.local.formatted"), "SIGKILL");
  const made = uuid();
  assert.notEqual(made, "0".repeat(32));
  assert.deepEqual(rig.mounts(), []);
  assert.equal(await run("setUp", pod), "done");
  assert.equal(rig.mounts().length, 1);
  assert.equal(await run("tearDown", pod), "done");
  assert.equal(uuid(), made);
  assert.deepEqual(leftovers(), []);
});
