import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { CSIDriver, VolumeAttachment } from "@tripod/api/kubernetes";
import { type BindDriver, bindDriverName, startBindDriver } from "../testing/bind-driver.ts";
import { rigNodeName, startVolumeRig, type VolumeRig } from "../testing/volume-rig.ts";
import { attachmentName } from "../volumes/csi-paths.ts";

let rig: VolumeRig;
let driver: BindDriver;

before(async () => {
  rig = await startVolumeRig();
  // What upstream's node authorizer lets nobody list or watch.
  const single = ["persistentvolumeclaims", "persistentvolumes", "volumeattachments"];
  rig.api.forbidden = (verb, plural) => verb === "list" && single.includes(plural);
  driver = await startBindDriver(rig.layout, { node: { nodeExpandVolume: async () => ({}) } });
  rig.drivers.register(bindDriverName, driver.endpoint);
  rig.api.create<CSIDriver>("csidrivers", { metadata: { name: bindDriverName }, spec: { attachRequired: true } });
});
after(async () => {
  await driver[Symbol.asyncDispose]();
  await rig[Symbol.asyncDispose]();
});

test("on a cluster where a node may read single objects alone, volumes are attached, mounted and grown", async () => {
  rig.createClaim("shy");
  const pod = rig.createPod("shy", { v: "shy" });
  rig.objects.follow(
    pod,
    () => {},
    () => {},
  );
  const ready = rig.setUp(pod);
  rig.api.create<VolumeAttachment>("volumeattachments", {
    metadata: { name: attachmentName("handle-shy", bindDriverName, rigNodeName) },
    spec: { attacher: bindDriverName, nodeName: rigNodeName, source: { persistentVolumeName: "pv-shy" } },
    status: { attached: true },
  });
  await ready;
  rig.grow("shy", "2Gi");
  await rig.setUp(pod);
  assert.deepEqual(rig.claim("shy").status?.capacity, { storage: "2Gi" });
  rig.objects.unfollow(pod.metadata?.uid ?? "");
  await rig.tearDown(pod);
  assert.deepEqual(rig.mounts(), []);
});
