import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { CSIDriver, Pod } from "@tripod/api/kubernetes";
import { cgroupExists, mountInfo } from "@tripod/linux";
import { connectCri } from "./cri/cri-client.ts";
import { type BindDriver, bindDriverName, startBindDriver } from "./testing/bind-driver.ts";
import { startTestCluster, type TestCluster, testNodeName } from "./testing/test-cluster.ts";

/** The kubelet is killed at each of these places in turn, and started again. A Pod passes them in this order. */
const startPoints = [
  "kubelet.volume.payload-written",
  "kubelet.csi.before-stage",
  "kubelet.csi.staged",
  "kubelet.csi.before-publish",
  "kubelet.csi.published",
  "kubelet.userns.recorded", // where Pods can have user namespaces
  "kubelet.sandbox.before-run",
  "kubelet.sandbox.running",
  "kubelet.container.created",
  "kubelet.container.started",
];
const endPoints = [
  "kubelet.pod.containers-killed",
  "kubelet.csi.unpublished",
  "kubelet.csi.unstaged",
  "kubelet.volumes.torn-down",
  "kubelet.pod.sandboxes-removed",
];

let cluster: TestCluster;
let driver: BindDriver;
let child: ChildProcess | undefined;
let hostUsers = true;

before(async () => {
  cluster = await startTestCluster("tripod");
  driver = await startBindDriver(cluster.layout);
  cluster.api.create<CSIDriver>("csidrivers", { metadata: { name: bindDriverName }, spec: { attachRequired: false } });
  for (const name of ["starts", "ends"]) {
    cluster.api.create("persistentvolumeclaims", {
      metadata: { name, namespace: "default", uid: `uid-${name}` },
      spec: { volumeName: `pv-${name}` },
      status: { phase: "Bound" },
    } as object as Pod);
    cluster.api.create("persistentvolumes", {
      metadata: { name: `pv-${name}` },
      spec: {
        accessModes: ["ReadWriteOnce"],
        claimRef: { name, namespace: "default", uid: `uid-${name}` },
        csi: { driver: bindDriverName, volumeHandle: name },
      },
    } as object as Pod);
  }
  await cluster.kubelet.close();
  using cri = connectCri(cluster.peer.socket);
  const { runtimeHandlers } = await cri.runtime.status({});
  hostUsers = runtimeHandlers.find(({ name }) => name === "")?.features?.userNamespaces !== true;
});
after(async () => {
  await stop();
  await driver[Symbol.asyncDispose]();
  await cluster[Symbol.asyncDispose]();
});

async function start(failpoint?: string): Promise<void> {
  const options = JSON.stringify({ ...cluster.kubeletOptions, root: cluster.layout.root });
  const env = { ...process.env, ...(failpoint === undefined ? {} : { TRIPOD_FAILPOINT: failpoint }) };
  const main = join(import.meta.dirname, "testing/kubelet-main.ts");
  const started = spawn(process.execPath, [main, options], { env, stdio: ["ignore", "pipe", "inherit"] });
  child = started;
  await Promise.race([once(started.stdout, "data"), once(started, "exit")]);
}

async function died(): Promise<void> {
  if (child !== undefined && child.exitCode === null && child.signalCode === null) await once(child, "exit");
  assert.equal(child?.signalCode, "SIGKILL");
}

async function stop(): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}

const isReady = (pod: Pod): boolean => pod.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";

function createPod(name: string): Pod {
  const wait = "trap 'exit 0' TERM; while true; do sleep 0.1; done";
  const volumeMounts = [
    { name: "claim", mountPath: "/claim" },
    { name: "info", mountPath: "/info" },
  ];
  return cluster.createPod(name, {
    hostUsers,
    containers: ["a", "b"].map((each) => ({
      name: each,
      image: cluster.image,
      command: ["sh", "-c", wait],
      volumeMounts,
    })),
    volumes: [
      { name: "claim", persistentVolumeClaim: { claimName: name } },
      { name: "info", downwardAPI: { items: [{ path: "name", fieldRef: { fieldPath: "metadata.name" } }] } },
    ],
  });
}

/** What a Pod has left on this machine. */
async function leftovers(pod: Pod): Promise<string[]> {
  const { layout } = cluster;
  const { uid = "" } = pod.metadata;
  using cri = connectCri(cluster.peer.socket);
  const found = [
    ...(await cri.runtime.listPodSandbox({})).items.map(({ id }) => `sandbox ${id}`),
    ...mountInfo()
      .map(({ mountPoint }) => mountPoint)
      .filter((path) => path.startsWith(layout.kubeletDir)),
    ...readdirSync(join(layout.kubeletDir, "pods")),
    ...readdirSync(layout.podLogsDir),
    ...readdirSync(join(layout.kubeletDir, "plugins/kubernetes.io/csi", bindDriverName)),
  ];
  return cgroupExists(`${layout.cgroupParent}/kubepods/besteffort/pod${uid}`) ? [...found, "cgroup"] : found;
}

test("killed again and again while a Pod starts, the kubelet brings it up with nothing lost or done twice", async () => {
  const pod = createPod("starts");
  for (const point of startPoints.filter((each) => !hostUsers || !each.includes("userns"))) {
    await start(point);
    await died();
  }
  await start();
  const ready = await cluster.pod("starts", isReady);
  assert.deepEqual(
    ready.status?.containerStatuses?.map(({ restartCount }) => restartCount),
    [0, 0],
  );
  using cri = connectCri(cluster.peer.socket);
  assert.equal((await cri.runtime.listPodSandbox({})).items.length, 1);
  assert.equal((await cri.runtime.listContainers({})).containers.length, 2);
  cluster.api.delete("pods", "default/starts");
  await cluster.gone("starts");
  await stop();
  assert.deepEqual(await leftovers(pod), []);
});

test("killed again and again while a Pod ends, the kubelet leaves nothing behind", async () => {
  const [first, ...others] = endPoints;
  await start(first);
  const pod = createPod("ends");
  await cluster.pod("ends", isReady);
  cluster.api.delete("pods", "default/ends");
  await died();
  for (const point of others) {
    await start(point);
    await died();
    // The API server has the Pod until everything is cleaned up.
    assert.notEqual(cluster.api.get("pods", "default/ends"), undefined, point);
  }
  await start();
  await cluster.gone("ends");
  await stop();
  assert.deepEqual(await leftovers(pod), []);
});

test("the node is still the one that registered first", () => {
  assert.equal(cluster.api.list("nodes").length, 1);
  assert.notEqual(cluster.api.get("nodes", testNodeName), undefined);
});
