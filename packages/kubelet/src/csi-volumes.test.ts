import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type {
  CSIDriver,
  CSINode,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  VolumeAttachment,
} from "@tripod/api/kubernetes";
import { mountInfo } from "@tripod/linux";
import { askKubelet } from "./testing/ask-kubelet.ts";
import { type BindDriver, bindDriverName, startBindDriver } from "./testing/bind-driver.ts";
import { startTestCluster, type TestCluster, testNodeName } from "./testing/test-cluster.ts";
import { attachmentName } from "./volumes/csi-paths.ts";

let cluster: TestCluster;
let driver: BindDriver;

before(async () => {
  cluster = await startTestCluster("tripod");
  driver = await startBindDriver(cluster.layout);
  cluster.api.create<CSIDriver>("csidrivers", {
    metadata: { name: bindDriverName },
    spec: {
      attachRequired: true,
      podInfoOnMount: true,
      volumeLifecycleModes: ["Persistent", "Ephemeral"],
      fsGroupPolicy: "File",
    },
  });
  await cluster.api.until<CSINode>(
    "csinodes",
    testNodeName,
    (found) => found?.spec?.drivers?.[0]?.name === bindDriverName,
  );
});
after(async () => {
  await driver[Symbol.asyncDispose]();
  await cluster[Symbol.asyncDispose]();
});

const isReady = (pod: Pod): boolean => pod.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";
const wait = "trap 'exit 0' TERM; while true; do sleep 0.1; done";
const kubeletMounts = (): string[] =>
  mountInfo()
    .map(({ mountPoint }) => mountPoint)
    .filter((path) => path.startsWith(cluster.layout.kubeletDir));

/** A bound claim with its volume, and the attachment that an attacher would make. */
function createClaim(name: string): void {
  cluster.api.create<PersistentVolumeClaim>("persistentvolumeclaims", {
    metadata: { name, namespace: "default", uid: `uid-${name}` },
    spec: { volumeName: `pv-${name}` },
    status: { phase: "Bound" },
  });
  cluster.api.create<PersistentVolume>("persistentvolumes", {
    metadata: { name: `pv-${name}` },
    spec: {
      accessModes: ["ReadWriteOnce"],
      claimRef: { name, namespace: "default", uid: `uid-${name}` },
      csi: { driver: bindDriverName, volumeHandle: `handle-${name}` },
    },
  });
}

function attach(name: string): void {
  cluster.api.create<VolumeAttachment>("volumeattachments", {
    metadata: { name: attachmentName(`handle-${name}`, bindDriverName, testNodeName) },
    spec: { attacher: bindDriverName, nodeName: testNodeName, source: { persistentVolumeName: `pv-${name}` } },
    status: { attached: true },
  });
}

const createUser = (pod: string, claim: string, script = wait): Pod =>
  cluster.createPod(pod, {
    securityContext: { fsGroup: 4242 },
    containers: [
      {
        name: "c",
        image: cluster.image,
        command: ["sh", "-c", script],
        volumeMounts: [{ name: "v", mountPath: "/v" }],
      },
    ],
    volumes: [{ name: "v", persistentVolumeClaim: { claimName: claim } }],
  });

async function remove(name: string): Promise<void> {
  cluster.api.delete("pods", `default/${name}`);
  await cluster.gone(name);
}

/** The kubelet tells the claim's use over HTTP, in its summary and in upstream's metrics. */
async function isTold(pod: string, claim: string): Promise<void> {
  interface Summary {
    readonly pods: readonly {
      readonly podRef: { readonly name: string };
      readonly volume?: readonly { readonly name: string; readonly capacityBytes: number; readonly pvcRef?: object }[];
    }[];
  }
  const summary = JSON.parse((await askKubelet(cluster, "/stats/summary")).body) as Summary; // its own format
  const [volume] = summary.pods.find(({ podRef }) => podRef.name === pod)?.volume ?? [];
  assert.deepEqual(volume?.pvcRef, { name: claim, namespace: "default" });
  const { body } = await askKubelet(cluster, "/metrics");
  const told = (metric: string): number => {
    const labels = `\\{namespace="default",persistentvolumeclaim="${claim}"\\}`;
    return Number(new RegExp(`^kubelet_volume_stats_${metric}${labels} (\\d+)$`, "m").exec(body)?.[1]);
  };
  assert.equal(told("capacity_bytes"), volume.capacityBytes);
  assert.ok(told("capacity_bytes") > 0);
  for (const metric of ["available_bytes", "used_bytes", "inodes", "inodes_free", "inodes_used"])
    assert.ok(told(metric) >= 0, metric);
}

test("a driver that registers shows in the CSINode and on the Node", async () => {
  const found = cluster.api.get<CSINode>("csinodes", testNodeName);
  assert.deepEqual(found?.spec?.drivers, [
    { name: bindDriverName, nodeID: "node-id", topologyKeys: ["bind.csi.test/node"], allocatable: { count: 7 } },
  ]);
  const node = cluster.api.get<Node>("nodes", testNodeName);
  assert.equal(node?.metadata?.labels?.["bind.csi.test/node"], "here");
  assert.equal(node?.metadata?.annotations?.["csi.volume.kubernetes.io/nodeid"], '{"bind.csi.test":"node-id"}');
});

test("a claim is attached, staged once, published to each Pod, and unstaged after the last", async () => {
  createClaim("data");
  const first = createUser("first", "data", `echo kept > /v/file; ${wait}`);
  const name = `kubernetes.io/csi/${bindDriverName}^handle-data`;
  // The node says that the volume is in use before it waits for the attachment.
  await cluster.api.until<Node>("nodes", testNodeName, (node) => node?.status?.volumesInUse?.includes(name) === true);
  assert.equal(driver.calls.length, 0);
  attach("data");
  await cluster.pod("first", isReady);
  const target = join(
    cluster.layout.kubeletDir,
    "pods",
    first.metadata?.uid ?? "",
    "volumes/kubernetes.io~csi/pv-data",
  );
  const volData = JSON.parse(readFileSync(join(target, "vol_data.json"), "utf8")) as Record<string, string>; // our own format
  assert.equal(volData["volumeHandle"], "handle-data");
  assert.equal(driver.contexts[0]?.["csi.storage.k8s.io/pod.name"], "first");
  await isTold("first", "data");
  createUser("second", "data", `cat /v/file; id -G; ${wait}`);
  await cluster.pod("second", isReady);
  await remove("first");
  assert.deepEqual(driver.calls.slice(-1), ["unpublish handle-data"]);
  await remove("second");
  assert.deepEqual(driver.calls.slice(-2), ["unpublish handle-data", "unstage handle-data"]);
  assert.equal(driver.calls.filter((call) => call.startsWith("publish")).length, 2);
  assert.deepEqual(kubeletMounts(), []);
  await cluster.api.until<Node>("nodes", testNodeName, (node) => (node?.status?.volumesInUse ?? []).length === 0);
});

test("a failing driver is an Event that names the cause, and is tried again", async () => {
  createClaim("burning");
  attach("burning");
  driver.failures = 2;
  createUser("burning", "burning");
  await cluster.pod("burning", isReady);
  const told = cluster.events("burning").filter((text) => text.startsWith("FailedMount"));
  assert.match(told[0] ?? "", /MountVolume.SetUp failed for volume "v" : the disk is on fire/);
  await remove("burning");
  assert.deepEqual(kubeletMounts(), []);
});

test("an inline volume lives as long as its Pod", async () => {
  const before = driver.calls.length;
  cluster.createPod("inline", {
    containers: [
      { name: "c", image: cluster.image, command: ["sh", "-c", wait], volumeMounts: [{ name: "v", mountPath: "/v" }] },
    ],
    volumes: [{ name: "v", csi: { driver: bindDriverName } }],
  });
  await cluster.pod("inline", isReady);
  assert.match(driver.calls.slice(before).join(), /^publish csi-[0-9a-f]{64}$/);
  await remove("inline");
  assert.equal(driver.calls.length, before + 2);
  assert.deepEqual(kubeletMounts(), []);
});

test("a claim that does not exist is an Event, and the Pod starts once it does", async () => {
  createUser("early", "later");
  await cluster.told("early", 'persistentvolumeclaim "later" not found');
  createClaim("later");
  attach("later");
  await cluster.pod("early", isReady);
  await remove("early");
});

test("a Pod deleted while the kubelet was away is taken down from what is on the disk", async () => {
  createClaim("left");
  attach("left");
  const pod = createUser("left", "left");
  await cluster.pod("left", isReady);
  await cluster.kubelet.close();
  cluster.api.delete("pods", "default/left", 0);
  cluster.api.delete("persistentvolumes", "pv-left");
  await cluster.restart();
  await cluster.api.until<Node>("nodes", testNodeName, (node) => (node?.status?.volumesInUse ?? []).length === 0);
  assert.deepEqual(driver.calls.slice(-2), ["unpublish handle-left", "unstage handle-left"]);
  assert.equal(existsSync(join(cluster.layout.kubeletDir, "pods", pod.metadata?.uid ?? "")), false);
  assert.deepEqual(readdirSync(join(cluster.layout.kubeletDir, "plugins/kubernetes.io/csi", bindDriverName)), []);
  assert.deepEqual(kubeletMounts(), []);
});
