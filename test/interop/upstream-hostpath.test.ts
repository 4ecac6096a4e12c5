import assert from "node:assert/strict";
import { type ChildProcess, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { loopDevices, mountInfo } from "@tripod/linux";
import { interop, noKubectl, until } from "@tripod/testing";
import { image, TestNode } from "../e2e/node.ts";

/** Not served by the Go module proxy, and not in Debian: whoever has built it puts it on PATH. */
const isThere = spawnSync("hostpathplugin", ["--help"]).error === undefined;
const skip =
  noKubectl ??
  (!isThere &&
    "hostpathplugin of kubernetes-csi/csi-driver-host-path is not on PATH: go build -ldflags '-X main.version=v1' ./cmd/hostpathplugin");

const callee = "upstream's csi-driver-host-path";
const stack = new AsyncDisposableStack();
let node: TestNode;
let endpoint: string;

async function run(command: string, args: readonly string[]): Promise<void> {
  const child: ChildProcess = node.network.spawn(command, [...args], { stdio: "ignore" });
  stack.defer(async () => {
    if (child.exitCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGTERM");
    await ended;
  });
}

before(async () => {
  if (skip !== false) return;
  node = stack.use(await TestNode.start());
  const dir = join(node.root, "upstream");
  mkdirSync(dir);
  endpoint = join(dir, "csi.sock");
  const nodeName = await node.text("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}");
  await run("hostpathplugin", [
    `--endpoint=unix://${endpoint}`,
    `--statedir=${dir}`,
    `--nodeid=${nodeName}`,
    "--logtostderr=false",
  ]);
  await until("the driver serves", () => spawnSync("test", ["-S", endpoint]).status === 0);
  const registry = node.layout.pluginsRegistryDir;
  await run(join(import.meta.dirname, "../../tripod"), [
    "csi",
    "register",
    `--endpoint=unix://${endpoint}`,
    `--registration-dir=${registry}`,
  ]);
  await node.apply(manifests);
  const driver = '{.items[0].spec.drivers[?(@.name=="hostpath.csi.k8s.io")].nodeID}';
  await until(
    "the CSINode names the driver",
    async () => (await node.text("get", "csinodes", "-o", `jsonpath=${driver}`)) === nodeName,
  );
});
after(() => stack.disposeAsync());

const manifests = `
apiVersion: storage.k8s.io/v1
kind: CSIDriver
metadata: { name: hostpath.csi.k8s.io }
spec: { attachRequired: false, podInfoOnMount: true, volumeLifecycleModes: [Persistent, Ephemeral], fsGroupPolicy: File }
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: { name: upstream }
provisioner: hostpath.csi.k8s.io
allowVolumeExpansion: true
---
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshotClass
metadata: { name: upstream }
driver: hostpath.csi.k8s.io
deletionPolicy: Delete
`;
const claim = (name: string, more = ""): string => `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: ${name} }
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: upstream
  resources: { requests: { storage: 16Mi } }
  ${more}
---`;
const pod = (name: string, use: string, volume: string): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${name} }
spec:
  terminationGracePeriodSeconds: 1
  containers: [{ name: main, image: ${image}, command: [sh, -c, "sleep 1000"], ${use} }]
  volumes: [{ name: data, ${volume} }]
`;
const mounted = "volumeMounts: [{ name: data, mountPath: /data }]";
const ready = (name: string) => node.kubectl(["wait", "--for=condition=Ready", `pod/${name}`, "--timeout=60s"]);

describe(interop({ interface: "CSI", caller: "tripod up", callee }), { skip }, () => {
  test("a claim is provisioned, mounted, keeps its data, and grows", async () => {
    await node.apply(claim("data") + pod("web", mounted, "persistentVolumeClaim: { claimName: data }"));
    await ready("web");
    await node.text("exec", "web", "--", "sh", "-c", "echo kept >/data/file");
    await node.kubectl(["patch", "pvc/data", "-p", '{"spec":{"resources":{"requests":{"storage":"32Mi"}}}}']);
    await node.kubectl(["wait", "--for=jsonpath={.status.capacity.storage}=32Mi", "pvc/data", "--timeout=60s"]);
    assert.equal(await node.text("exec", "web", "--", "cat", "/data/file"), "kept");
  });

  test("a snapshot is taken, and a claim made of it holds the same", async () => {
    await node.apply(`
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshot
metadata: { name: snap }
spec: { volumeSnapshotClassName: upstream, source: { persistentVolumeClaimName: data } }
`);
    await node.kubectl(["wait", "--for=jsonpath={.status.readyToUse}=true", "volumesnapshot/snap", "--timeout=60s"]);
    const source = "dataSource: { apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: snap }";
    const grown = claim("restored", source).replace("16Mi", "32Mi");
    await node.apply(grown + pod("restored", mounted, "persistentVolumeClaim: { claimName: restored }"));
    await ready("restored");
    assert.equal(await node.text("exec", "restored", "--", "cat", "/data/file"), "kept");
  });

  test("a block device and an inline volume reach Pods, too", async () => {
    const device = "volumeDevices: [{ name: data, devicePath: /dev/xvda }]";
    await node.apply(
      claim("raw", "volumeMode: Block") + pod("raw", device, "persistentVolumeClaim: { claimName: raw }"),
    );
    await node.apply(pod("inline", mounted, "csi: { driver: hostpath.csi.k8s.io }"));
    await ready("raw");
    await ready("inline");
    assert.match(await node.text("exec", "raw", "--", "ls", "-l", "/dev/xvda"), /^b/);
    await node.text("exec", "inline", "--", "sh", "-c", "echo x >/data/file");
  });

  test("all of it goes, and leaves nothing", async () => {
    const names = [
      "pod/web",
      "pod/restored",
      "pod/raw",
      "pod/inline",
      "pvc/data",
      "pvc/restored",
      "pvc/raw",
      "volumesnapshot/snap",
    ];
    await node.kubectl(["delete", ...names, "--timeout=60s"]);
    await until("the volumes are deleted", async () => (await node.text("get", "pv", "-o", "name")) === "");
    await until("no loop device is left", () =>
      loopDevices().every(({ backingFile }) => !backingFile.startsWith(node.root)),
    );
    assert.deepEqual(
      mountInfo().filter(({ mountPoint }) => mountPoint.startsWith(`${node.root}/kubelet/`)),
      [],
    );
  });
});
