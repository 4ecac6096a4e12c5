import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { loopDevices, mountInfo } from "@tripod/linux";
import { noKubectl, until } from "@tripod/testing";
import { image, TestNode } from "./node.ts";

const manifests = `
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: disks}
provisioner: loop.csi.tripod.dev
volumeBindingMode: WaitForFirstConsumer
---
apiVersion: v1
kind: Pod
metadata: {name: scratch}
spec:
  terminationGracePeriodSeconds: 1
  volumes:
    - name: inline
      csi: {driver: hostpath.csi.tripod.dev}
    - name: tools
      image: {reference: "${image}"}
    - name: own
      ephemeral:
        volumeClaimTemplate:
          spec: {accessModes: [ReadWriteOnce], storageClassName: disks, resources: {requests: {storage: 64Mi}}}
  containers:
    - name: c
      image: ${image}
      command: [sh, -c, "trap exit TERM; sleep 100000 & wait"]
      volumeMounts: [{name: inline, mountPath: /inline}, {name: own, mountPath: /own}, {name: tools, mountPath: /tools}]
`;

describe("volumes that live as long as their Pod", { skip: noKubectl ?? false }, () => {
  const stack = new AsyncDisposableStack();
  let node: TestNode;
  before(async () => {
    node = stack.use(await TestNode.start());
    await node.apply(manifests);
    await node.kubectl(["wait", "--for=condition=Ready", "pod/scratch", "--timeout=60s"]);
  });
  after(() => stack.disposeAsync());
  const inPod = (...command: string[]) => node.text("exec", "scratch", "--", ...command);
  const folders = (): string[] => readdirSync(join(node.layout.csiStateDir, "hostpath.csi.tripod.dev/volumes"));

  test("an inline volume of a driver, a claim of the Pod's own and an image are mounted", async () => {
    await inPod("sh", "-c", "echo inline >/inline/file; echo own >/own/file");
    assert.equal(await inPod("/tools/bin/busybox", "echo", "from the image"), "from the image");
    assert.match(await inPod("df", "/own"), /\/dev\/loop\d+/);
    const owner = "{.metadata.ownerReferences[0].kind} {.metadata.ownerReferences[0].name} {.status.phase}";
    assert.equal(await node.text("get", "pvc", "scratch-own", "-o", `jsonpath=${owner}`), "Pod scratch Bound");
    assert.equal(folders().length, 1);
  });

  test("they stay while the daemon is killed and comes back, and no mount is said to have failed", async () => {
    await node.kill("SIGKILL");
    await node.up();
    await node.kubectl(["wait", "--for=condition=Ready", "pod/scratch", "--timeout=30s"]);
    assert.equal(await inPod("cat", "/inline/file", "/own/file"), "inline\nown");
    await node.kubectl(["delete", "pod/scratch", "--wait=false"]);
    await node.kubectl(["wait", "--for=delete", "pod/scratch", "--timeout=60s"]);
    assert.equal(await node.text("get", "events", "--field-selector", "reason=FailedMount", "-o", "name"), "");
  });

  test("with the Pod they are gone, and all that they were made of", async () => {
    await node.kubectl(["wait", "--for=delete", "pvc/scratch-own", "--timeout=60s"]);
    await until("the volumes are gone", async () => (await node.text("get", "pv", "-o", "name")) === "");
    await until("the inline volume's folder is gone", () => folders().length === 0);
    assert.deepEqual(
      mountInfo().filter(({ mountPoint }) => mountPoint.startsWith(join(node.layout.kubeletDir, "plugins"))),
      [],
    );
    await until("no loop device is left", () =>
      loopDevices().every(({ backingFile }) => !backingFile.startsWith(node.root)),
    );
  });
});
