import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import type { Pod, Volume } from "@tripod/api/kubernetes";
import { messageOf } from "@tripod/base";
import { isRoot, loopDevices, mountInfo } from "@tripod/linux";
import { startVolumeRig, type VolumeRig } from "../../testing/volume-rig.ts";
import { flexRecordsDir } from "./flex-paths.ts";

/** As people wrote them: each call is noted in a log beside the program. */
const prologue = `#!/bin/sh
here=$(dirname "$0")
echo "$@" >>"$here/log"
option() { printf %s "$json" | sed -n "s|.*\\"$1\\":\\"\\([^\\"]*\\)\\".*|\\1|p"; }
`;

/** Shows a folder of the node, which its option names. */
const folderDriver = `${prologue}
case "$1" in
  init) echo '{"status":"Success","capabilities":{"attach":false}}' ;;
  mount) json=$3; mkdir -p "$2"; mount --bind "$(option folder)" "$2" && echo '{"status":"Success"}' ;;
  unmount) umount "$2" && echo '{"status":"Success"}' ;;
  *) echo '{"status":"Not supported"}'; exit 1 ;;
esac
`;

/** Attaches a file as a loop device. */
const diskDriver = `${prologue}
case "$1" in
  init) echo '{"status":"Success"}' ;;
  getvolumename) json=$2; echo "{\\"status\\":\\"Success\\",\\"volumeName\\":\\"disk-$(basename "$(option file)")\\"}" ;;
  attach) json=$2; file=$(option file)
    dev=$(losetup -j "$file" | cut -d: -f1 | head -1)
    [ -n "$dev" ] || dev=$(losetup -f --show "$file")
    echo "{\\"status\\":\\"Success\\",\\"device\\":\\"$dev\\"}" ;;
  waitforattach) echo "{\\"status\\":\\"Success\\",\\"device\\":\\"$2\\"}" ;;
  isattached) json=$2; [ -n "$(losetup -j "$(option file)")" ] && a=true || a=false; echo "{\\"status\\":\\"Success\\",\\"attached\\":$a}" ;;
  mountdevice) mount "$3" "$2" && echo '{"status":"Success"}' ;;
  unmountdevice) umount "$2" && echo '{"status":"Success"}' ;;
  detach) for dev in $(losetup -n -O NAME,BACK-FILE | grep "/\${2#disk-}$" | cut -d' ' -f1); do losetup -d $dev; done
    echo '{"status":"Success"}' ;;
  *) echo '{"status":"Not supported"}'; exit 1 ;;
esac
`;

function install(rig: VolumeRig, name: string, text: string): string {
  const dir = join(rig.layout.flexDriversDir, `example.com~${name}`);
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, name), text, { mode: 0o755 });
  return join(dir, "log");
}

const flex = (driver: string, options: Record<string, string>, more: object = {}): Volume => ({
  name: "data",
  flexVolume: { driver: `example.com/${driver}`, options, ...more },
});
const podOf = (rig: VolumeRig, name: string, volume: Volume, spec: Partial<Pod["spec"]> = {}): Pod =>
  rig.createPod(name, {}, { volumes: [volume], ...spec });
const target = (rig: VolumeRig, pod: Pod, driver: string): string =>
  join(rig.layout.kubeletDir, "pods", pod.metadata.uid ?? "", "volumes", `example.com~${driver}`, "data");
const devices = (file: string) => loopDevices().filter(({ backingFile }) => backingFile === file);

/** A file with an ext4 file system in it. */
async function makeDisk(rig: VolumeRig): Promise<string> {
  const file = join(rig.layout.root ?? "", "disk.img");
  const [child] = [spawn("mkfs.ext4", ["-q", file, "16M"], { stdio: "ignore" })];
  await once(child, "exit");
  return file;
}

async function failure(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return error instanceof AggregateError ? error.errors.map(messageOf).join("; ") : messageOf(error);
  }
  assert.fail("it did not fail");
}

describe("FlexVolume", { skip: isRoot() ? false : "mounting needs root" }, () => {
  test("a driver that mounts is called with the options, and the volume goes the way it came", async () => {
    await using rig = await startVolumeRig();
    const log = install(rig, "folder", folderDriver);
    const folder = join(rig.layout.root ?? "", "shared");
    mkdirSync(folder);
    writeFileSync(join(folder, "file"), "shown");
    rig.api.create("secrets", { metadata: { name: "s", namespace: "default" }, data: { key: "c2VjcmV0" } });
    const pod = podOf(
      rig,
      "web",
      flex("folder", { folder }, { fsType: "ext4", readOnly: true, secretRef: { name: "s" } }),
    );
    const mounted = (await rig.setUp(pod)).get("data");
    assert.deepEqual(mounted, { kind: "folder", hostPath: target(rig, pod, "folder"), readOnly: true });
    assert.equal(readFileSync(join(target(rig, pod, "folder"), "file"), "utf8"), "shown");
    const call =
      readFileSync(log, "utf8")
        .split("\n")
        .find((line) => line.startsWith("mount ")) ?? "";
    const options = JSON.parse(call.slice(call.indexOf("{"))) as Record<string, string>;
    assert.deepEqual(
      [options["kubernetes.io/fsType"], options["kubernetes.io/readwrite"], options["kubernetes.io/secret/key"]],
      ["ext4", "ro", "c2VjcmV0"],
    );
    assert.equal(options["kubernetes.io/pod.name"], "web");
    await rig.tearDown(pod);
    assert.deepEqual(rig.mounts(), []);
    assert.equal(readFileSync(join(folder, "file"), "utf8"), "shown");
    assert.deepEqual(readdirSync(flexRecordsDir(rig.layout.kubeletDir)), []);
  });

  test("a driver that attaches has its device mounted once a node, and detached when the last Pod leaves", async () => {
    await using rig = await startVolumeRig();
    const log = install(rig, "disk", diskDriver);
    const file = await makeDisk(rig);
    const [one, other] = ["one", "other"].map((name) =>
      podOf(rig, name, flex("disk", { file }), { securityContext: { fsGroup: 1234 } }),
    );
    assert.ok(one !== undefined && other !== undefined);
    await rig.setUp(one);
    await rig.setUp(other);
    assert.equal(devices(file).length, 1);
    writeFileSync(join(target(rig, one, "disk"), "file"), "lasting");
    assert.equal(readFileSync(join(target(rig, other, "disk"), "file"), "utf8"), "lasting");
    assert.ok(
      rig
        .mounts()
        .includes(
          join(rig.layout.kubeletDir, "plugins/kubernetes.io/flexvolume/example.com/disk/mounts/disk-disk.img"),
        ),
    );
    await rig.tearDown(one);
    assert.equal(devices(file).length, 1, "another Pod still uses it");
    await rig.restart();
    await rig.tearDown(other);
    assert.equal(devices(file).length, 0);
    assert.deepEqual(rig.mounts(), []);
    assert.match(readFileSync(log, "utf8"), /^detach disk-disk\.img node-1$/m);
    const again = podOf(rig, "again", flex("disk", { file }));
    await rig.setUp(again);
    assert.equal(readFileSync(join(target(rig, again, "disk"), "file"), "utf8"), "lasting");
    await rig.tearDown(again);
  });

  test("a PersistentVolume of a FlexVolume is the same", async () => {
    await using rig = await startVolumeRig();
    install(rig, "disk", diskDriver);
    const file = await makeDisk(rig);
    rig.createClaim("c", { csi: undefined as never, flexVolume: { driver: "example.com/disk", options: { file } } });
    const pod = rig.createPod("web", { data: "c" });
    await rig.setUp(pod);
    const at = join(rig.layout.kubeletDir, "pods", pod.metadata.uid ?? "", "volumes/example.com~disk/pv-c");
    assert.ok(existsSync(join(at, "lost+found")));
    await rig.tearDown(pod);
    assert.equal(devices(file).length, 0);
  });

  const bad: { why: string; driver: string; says: RegExp; name?: string }[] = [
    { why: "prints no JSON", driver: `${prologue}echo oops`, says: /reply is no JSON: oops/ },
    { why: "prints nothing", driver: `${prologue}echo broken >&2; exit 3`, says: /exit code 3 and no reply: broken/ },
    {
      why: "fails",
      driver: `${prologue}echo '{"status":"Failure","message":"no disk"}'; exit 1`,
      says: /init failed: no disk/,
    },
    { why: "has a status of its own", driver: `${prologue}echo '{"status":"Fine"}'`, says: /has the status "Fine"/ },
    { why: "never ends its reply", driver: `${prologue}yes`, says: /printed more than 1048576 bytes/ },
    {
      why: "says that it has mounted, and has not",
      driver: `${prologue}[ $1 = init ] && echo '{"status":"Success","capabilities":{"attach":false}}' || echo '{"status":"Success"}'`,
      says: /mount succeeded, but nothing is mounted/,
    },
    { why: "is not there", driver: "", says: /there is no such program; install the driver on this node/ },
    { why: "is named like a path", driver: folderDriver, says: /not vendor\/driver/, name: "../../bin/sh" },
  ];
  for (const { why, driver, says, name } of bad)
    test(`a driver that ${why} is told of, and leaves nothing`, async () => {
      await using rig = await startVolumeRig();
      if (driver !== "") install(rig, "bad", driver);
      const volume = flex("bad", {});
      if (name !== undefined && volume.flexVolume !== undefined) volume.flexVolume.driver = name;
      const pod = podOf(rig, "web", volume);
      assert.match(await failure(rig.setUp(pod)), says);
      assert.deepEqual(rig.mounts(), []);
    });

  for (const [failpoint, work] of [
    ["kubelet.flex.recorded", "setUp"],
    ["kubelet.flex.attached", "setUp"],
    ["kubelet.flex.device-mounted", "setUp"],
    ["kubelet.flex.mounted", "setUp"],
    ["kubelet.flex.unmounted", "tearDown"],
    ["kubelet.flex.device-unmounted", "tearDown"],
    ["kubelet.flex.detached", "tearDown"],
  ] as const)
    test(`killed at ${failpoint}, the volume can be had, and taken away, all the same`, async () => {
      await using rig = await startVolumeRig();
      install(rig, "disk", diskDriver);
      const file = await makeDisk(rig);
      const pod = podOf(rig, "web", flex("disk", { file }));
      if (work === "tearDown") await rig.setUp(pod);
      const { kubeletDir, flexDriversDir } = rig.layout;
      const job = {
        kubeletDir,
        flexDriversDir,
        kubeconfig: rig.kubeconfig,
        endpoint: join(kubeletDir, "no.sock"),
        pod,
        work,
      };
      const main = join(import.meta.dirname, "../../testing/volumes-main.ts");
      const env = { ...process.env, TRIPOD_FAILPOINT: failpoint };
      const child = spawn(process.execPath, [main, JSON.stringify(job)], { stdio: "ignore", env });
      const [, signal] = (await once(child, "exit")) as [number | null, string | null];
      assert.equal(signal, "SIGKILL");
      await rig.restart();
      if (work === "setUp") {
        await rig.setUp(pod);
        assert.ok(existsSync(join(target(rig, pod, "disk"), "lost+found")));
      }
      await rig.tearDown(pod);
      assert.deepEqual(rig.mounts(), []);
      assert.equal(devices(file).length, 0);
      assert.deepEqual(readdirSync(flexRecordsDir(kubeletDir)), []);
      assert.deepEqual(
        mountInfo().filter(({ mountPoint }) => mountPoint.startsWith(kubeletDir)),
        [],
      );
    });
});
