import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type {
  CSIDriver,
  CSINode,
  PersistentVolume,
  PersistentVolumeClaim,
  VolumeAttachment,
} from "@tripod/api/kubernetes";
import { type BindDriver, bindDriverName, startBindDriver } from "./testing/bind-driver.ts";
import { startTestCluster, type TestCluster, testNodeName } from "./testing/test-cluster.ts";
import { attachmentName } from "./volumes/csi-paths.ts";

let cluster: TestCluster;
let driver: BindDriver;
let limit = 5n;

before(async () => {
  cluster = await startTestCluster("tripod");
  cluster.api.create<CSIDriver>("csidrivers", {
    metadata: { name: bindDriverName },
    spec: { attachRequired: true, nodeAllocatableUpdatePeriodSeconds: 1 },
  });
  const { layout } = cluster;
  const vendor = join(layout.pluginsRegistryDir, "vendor/deeper");
  driver = await startBindDriver(
    { ...layout, pluginsRegistryDir: vendor },
    { node: { nodeGetInfo: async () => ({ nodeId: "node-id", maxVolumesPerNode: limit }) } },
  );
});
after(async () => {
  await driver[Symbol.asyncDispose]();
  await cluster[Symbol.asyncDispose]();
});

const untilLimit = (count: number | undefined): Promise<CSINode> =>
  cluster.api.until<CSINode>(
    "csinodes",
    testNodeName,
    (found) => found?.spec?.drivers?.[0]?.allocatable?.count === count,
  );

test("a driver that registers in a folder of the registry is found there", async () => {
  await untilLimit(5);
});

test("a driver is asked again how many volumes the node takes, as often as its CSIDriver says", async () => {
  limit = 3n;
  await untilLimit(3);
  limit = 9n;
  await untilLimit(9);
});

test("a Pod whose volume the attacher refuses because the node is full fails, so that another node can have it", async () => {
  cluster.api.update("csidrivers", bindDriverName, (object) => ({
    ...object,
    spec: { ...object.spec, nodeAllocatableUpdatePeriodSeconds: 3600 },
  }));
  limit = 1n;
  cluster.api.create<PersistentVolumeClaim>("persistentvolumeclaims", {
    metadata: { name: "over", namespace: "default", uid: "uid-over" },
    spec: { volumeName: "pv-over" },
    status: { phase: "Bound" },
  });
  cluster.api.create<PersistentVolume>("persistentvolumes", {
    metadata: { name: "pv-over" },
    spec: {
      accessModes: ["ReadWriteOnce"],
      claimRef: { name: "over", namespace: "default", uid: "uid-over" },
      csi: { driver: bindDriverName, volumeHandle: "over" },
    },
  });
  cluster.api.create<VolumeAttachment>("volumeattachments", {
    metadata: { name: attachmentName("over", bindDriverName, testNodeName) },
    spec: { attacher: bindDriverName, nodeName: testNodeName, source: { persistentVolumeName: "pv-over" } },
    status: { attached: false, attachError: { message: "no slot is free", errorCode: 8 } },
  });
  cluster.createPod("over", {
    containers: [{ name: "c", image: cluster.image, volumeMounts: [{ name: "v", mountPath: "/v" }] }],
    volumes: [{ name: "v", persistentVolumeClaim: { claimName: "over" } }],
  });
  const failed = await cluster.pod("over", ({ status }) => status?.phase === "Failed");
  assert.equal(failed.status?.reason, "VolumeAttachmentLimitExceeded");
  assert.match(failed.status?.message ?? "", /no slot is free/);
  await untilLimit(1);
});

test("when the folder of a registration goes, the driver goes", async () => {
  rmSync(join(cluster.layout.pluginsRegistryDir, "vendor"), { recursive: true });
  // The driver makes its socket again: what is seen is that it went and came.
  limit = 2n;
  await untilLimit(2);
});
