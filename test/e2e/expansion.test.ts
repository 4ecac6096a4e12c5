import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { loopFilesLeft, noKubectl, until } from "@tripod/testing";
import { image, TestNode } from "./node.ts";

const storageClass = (name: string, fsType: string, grows: boolean) => `
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: ${name}}
provisioner: loop.csi.tripod.dev
allowVolumeExpansion: ${grows}
parameters: {csi.storage.k8s.io/fstype: ${fsType}}
`;
const claim = (name: string, className: string, mode = "Filesystem") => `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: ${name}}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: ${className}
  volumeMode: ${mode}
  resources: {requests: {storage: 320Mi}}
`;
const pod = (name: string, mode = "Filesystem") => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}}
spec:
  terminationGracePeriodSeconds: 1
  volumes: [{name: v, persistentVolumeClaim: {claimName: ${name}}}]
  containers:
    - name: c
      image: ${image}
      command: [sh, -c, "trap exit TERM; sleep 100000 & wait"]
      ${mode === "Block" ? "volumeDevices: [{name: v, devicePath: /dev/data}]" : "volumeMounts: [{name: v, mountPath: /data}]"}
`;

const examples = join(import.meta.dirname, "../../examples/growing");

const CAP_SYS_RESOURCE = 24n;
/** The kernel grows a mounted ext4 for whoever has this. */
const growsExt4InUse = (): boolean => {
  const [, mask = "0"] = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  return ((BigInt(`0x${mask}`) >> CAP_SYS_RESOURCE) & 1n) === 1n;
};

describe("volumes that grow", { skip: noKubectl ?? false }, () => {
  const stack = new AsyncDisposableStack();
  let node: TestNode;
  before(async () => {
    node = stack.use(await TestNode.start());
    const classes = [
      storageClass("xfs", "xfs", true),
      storageClass("ext4", "ext4", true),
      storageClass("rigid", "xfs", false),
    ];
    await node.apply(classes.join("---"));
  });
  after(async () => {
    await stack.disposeAsync();
    // A device that is still held keeps its file, though that is gone by name.
    assert.deepEqual(await loopFilesLeft(node.root), []);
  });

  const ready = (name: string) => node.kubectl(["wait", "--for=condition=Ready", `pod/${name}`, "--timeout=60s"]);
  const start = async (name: string, className: string, mode = "Filesystem") => {
    await node.apply(claim(name, className, mode));
    await node.apply(pod(name, mode));
    await ready(name);
  };
  const ask = (name: string, storage: string) =>
    node.kubectl(["patch", "pvc", name, "-p", JSON.stringify({ spec: { resources: { requests: { storage } } } })]);
  const inPod = (name: string, ...command: string[]) => node.text("exec", name, "--", ...command);
  /** Mebibytes of the file system, or of the device. */
  const size = async (name: string, path = "/data"): Promise<number> =>
    Number((await inPod(name, "df", "-m", path)).split(/\s+/).at(-5));
  const capacity = (name: string) => node.text("get", "pvc", name, "-o", "jsonpath={.status.capacity.storage}");
  const has = (name: string, wanted: string) =>
    until(`${name} has ${wanted}`, async () => (await capacity(name)) === wanted);
  const events = (name: string) =>
    node.text(
      "get",
      "events",
      "--field-selector",
      `involvedObject.name=${name}`,
      "-o",
      "jsonpath={.items[*]['reason','message']}",
    );

  test("a Pod on xfs sees the new size without a restart, and the Events tell the way", async () => {
    await node.kubectl(["apply", "-f", join(examples, "claim.yaml")]);
    await ready("reader");
    await inPod("reader", "sh", "-c", "echo lasting >/shelf/file");
    assert.ok((await size("reader", "/shelf")) < 320);
    await ask("shelf", "640Mi");
    await has("shelf", "640Mi");
    assert.ok((await size("reader", "/shelf")) > 500, `${await size("reader", "/shelf")} MiB`);
    assert.equal(await inPod("reader", "cat", "/shelf/file"), "lasting");
    const restarts = "{.status.containerStatuses[0].restartCount}";
    assert.equal(await node.text("get", "pod", "reader", "-o", `jsonpath=${restarts}`), "0");
    for (const reason of ["ExternalExpanding", "Resizing", "FileSystemResizeRequired", "FileSystemResizeSuccessful"])
      await until(`Event ${reason}`, async () => (await events("shelf")).includes(reason));
    const left = "{.status.conditions}{.status.allocatedResourceStatuses}";
    assert.equal(await node.text("get", "pvc", "shelf", "-o", `jsonpath=${left}`), "");
    assert.match(await node.text("get", "pv"), /640Mi .* default\/shelf/);
  });

  test("a raw block device in use grows", async () => {
    await start("raw", "xfs", "Block");
    await ask("raw", "640Mi");
    await has("raw", "640Mi");
    assert.equal(await inPod("raw", "blockdev", "--getsize64", "/dev/data"), String(640 * 1024 ** 2));
  });

  test("ext4 has the new size in use, or in the next Pod where the kernel does not let it", async () => {
    await start("ext4", "ext4");
    await ask("ext4", "640Mi");
    if (!growsExt4InUse()) {
      await until("an Event says what to do", async () =>
        /VolumeResizeFailed .*end the Pods that use the volume/.test(await events("ext4")),
      );
      assert.ok((await size("ext4")) < 320);
      await node.kubectl(["delete", "pod/ext4", "--timeout=60s"]);
      await node.apply(pod("ext4"));
      await ready("ext4");
    }
    await has("ext4", "640Mi");
    assert.ok((await size("ext4")) > 500, `${await size("ext4")} MiB`);
  });

  test("a class that does not let volumes grow is the end of it", async () => {
    await node.apply(claim("rigid", "rigid"));
    await has("rigid", "320Mi");
    await assert.rejects(ask("rigid", "640Mi"), /the storageclass that provisions the pvc must support resize/);
  });

  test("who asked for more than there is may ask for less", async () => {
    await ask("shelf", "1Pi");
    const states = "{.status.allocatedResourceStatuses.storage}";
    await until(
      "it is refused",
      async () => (await node.text("get", "pvc", "shelf", "-o", `jsonpath=${states}`)) === "ControllerResizeInfeasible",
    );
    await assert.rejects(ask("shelf", "640Mi"), /field can not be less than status.capacity/);
    await ask("shelf", "704Mi");
    await has("shelf", "704Mi");
    assert.ok((await size("reader", "/shelf")) > 600, `${await size("reader", "/shelf")} MiB`);
  });

  test("a volume in use gets other attributes when its claim names their class; what the driver does not know is refused", async () => {
    const odd = `
apiVersion: storage.k8s.io/v1
kind: VolumeAttributesClass
metadata: {name: odd}
driverName: loop.csi.tripod.dev
parameters: {flavour: mint}
`;
    await node.apply(odd);
    await node.kubectl(["apply", "-f", join(examples, "attributes.yaml")]);
    const wish = (volumeAttributesClassName: string) =>
      node.kubectl(["patch", "pvc", "shelf", "-p", JSON.stringify({ spec: { volumeAttributesClassName } })]);
    const status = (path: string) => node.text("get", "pvc", "shelf", "-o", `jsonpath={.status.${path}}`);
    await wish("odd");
    await until("it is refused", async () => (await status("modifyVolumeStatus.status")) === "Infeasible");
    assert.match(await node.text("describe", "pvc", "shelf"), /mutable parameter flavour is unknown/);
    await wish("reads-ahead");
    await until("it is done", async () => (await status("currentVolumeAttributesClassName")) === "reads-ahead");
    const [, device] = /\/dev\/(loop\d+)/.exec(await inPod("reader", "df", "/shelf")) ?? [];
    assert.equal(readFileSync(`/sys/block/${device}/queue/read_ahead_kb`, "utf8").trim(), "512");
    assert.match(await node.text("get", "vac"), /reads-ahead +loop\.csi\.tripod\.dev/);
  });

  test("a node killed between the volume and its file system ends the work when it is back", async () => {
    await node.kill("SIGKILL");
    await node.up({ TRIPOD_FAILPOINT: "controllers.resizer.volume-saved" });
    await ask("shelf", "768Mi");
    await until("it is down", () => !node.isUp);
    await node.up();
    await has("shelf", "768Mi");
    assert.ok((await size("reader", "/shelf")) > 650, `${await size("reader", "/shelf")} MiB`);
    const restarts = "{.status.containerStatuses[0].restartCount}";
    assert.equal(await node.text("get", "pod", "reader", "-o", `jsonpath=${restarts}`), "0");
  });
});
