import assert from "node:assert/strict";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { loopDevices } from "@tripod/linux";
import { noKubectl, until } from "@tripod/testing";
import { TestNode } from "./node.ts";

/** A class, a claim, a volume and a Pod as they are written for a cluster in the cloud of Amazon, taken from a guide to CSI. */
const storageClass = `
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: standard
provisioner: kubernetes.io/aws-ebs
parameters:
  type: gp2
`;
const claim = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: my-pvc
spec:
  accessModes:
    - ReadWriteOnce
  storageClassName: standard
  resources:
    requests:
      storage: 10Gi
`;
const volume = `
apiVersion: v1
kind: PersistentVolume
metadata:
  name: my-pv
spec:
  capacity:
    storage: 10Gi
  accessModes:
    - ReadWriteOnce
  storageClassName: standard
  awsElasticBlockStore:
    volumeID: "<volume-id>"
    fsType: ext4
`;
const pod = `
apiVersion: v1
kind: Pod
metadata:
  name: my-pod
spec:
  containers:
    - name: my-container
      image: nginx
      volumeMounts:
        - mountPath: "/data"
          name: my-volume
  volumes:
    - name: my-volume
      persistentVolumeClaim:
        claimName: my-pvc
`;

const nginx = { name: "library/nginx:latest", spec: { cmd: ["sh", "-c", "trap exit TERM; sleep 100000 & wait"] } };

describe("storage of a cloud, on a laptop", { skip: noKubectl ?? false }, () => {
  const stack = new AsyncDisposableStack();
  let node: TestNode;
  let images: string;
  before(async () => {
    node = stack.use(await TestNode.start({ images: [nginx] }));
    images = join(node.layout.csiStateDir, "loop.csi.tripod.dev/volumes");
  });
  after(() => stack.disposeAsync());
  const ready = () => node.kubectl(["wait", "--for=condition=Ready", "pod/my-pod", "--timeout=60s"]);
  const inPod = (...command: string[]) => node.text("exec", "my-pod", "--", ...command);

  test("the volume is made for its handle, mounted, and keeps its data from one Pod to the next", async () => {
    await node.apply(storageClass);
    await node.apply(volume);
    await node.apply(claim);
    await node.apply(pod);
    await ready();
    assert.equal(await node.text("get", "pvc", "my-pvc", "-o", "jsonpath={.spec.volumeName}"), "my-pv");
    await inPod("sh", "-c", "echo lasting >/data/file");
    assert.match(await inPod("df", "-h", "/data"), /\/dev\/loop\d+ +9\.\dG/);
    await node.kubectl(["delete", "pod/my-pod", "--timeout=60s"]);
    await node.apply(pod);
    await ready();
    assert.equal(await inPod("cat", "/data/file"), "lasting");
    const [image = ""] = readdirSync(images);
    assert.equal(statSync(join(images, image)).size, 10 * 1024 ** 3);
  });

  test("the volume stays as it was written, names the driver that serves it, and an Event says why", async () => {
    const written = "{.spec.awsElasticBlockStore.volumeID} {.metadata.annotations.pv\\.kubernetes\\.io/migrated-to}";
    assert.equal(await node.text("get", "pv", "my-pv", "-o", `jsonpath=${written}`), "<volume-id> loop.csi.tripod.dev");
    await until("the Event is there", async () =>
      /ebs\.csi\.aws\.com is not installed: loop\.csi\.tripod\.dev stands in for it/.test(
        await node.text("get", "events", "--field-selector", "reason=DriverStandsIn"),
      ),
    );
  });

  test("tripod volume show draws the claim's way to its Pod, and says what a stuck one waits for", async () => {
    await node.apply(
      claim.replace("name: my-pvc", "name: stuck").replace("storageClassName: standard", "storageClassName: nowhere"),
    );
    const shown = async (): Promise<string> => (await node.tripod("volume", "show")).stdout.toString();
    await until("the stuck claim is looked at", async () => (await shown()).includes("ProvisioningFailed"));
    const text = await shown();
    assert.match(
      text,
      /^PVC  default\/my-pvc  Bound  10Gi  ReadWriteOnce  standard\n {2}PV  my-pv  Bound  10Gi  loop\.csi\.tripod\.dev  <volume-id>/m,
    );
    assert.match(text, /^ {4}staged  \/.*globalmount  ext4  \/dev\/loop\d+  file .*\/volumes\/vol-/m);
    assert.match(text, /^ {4}Pod  default\/my-pod  Running  on \S+  mounted at \/.*\/my-pv\/mount$/m);
    assert.match(
      text,
      /^PVC  default\/stuck  Pending  .*← waits: ProvisioningFailed: storageclass\.storage\.k8s\.io "nowhere" not found$/m,
    );
    const one = await node.tripod("volume", "show", "pod/my-pod", "--json");
    assert.equal((JSON.parse(one.stdout.toString()) as unknown[]).length, 1);
    await node.kubectl(["delete", "pvc/stuck", "--timeout=60s"]);
  });

  test("a kept volume's data outlives the claim; with nothing bound to it, no device is left", async () => {
    await node.kubectl(["delete", "pod/my-pod", "pvc/my-pvc", "--timeout=60s"]);
    assert.equal(await node.text("get", "pv", "my-pv", "-o", "jsonpath={.status.phase}"), "Released");
    assert.equal(readdirSync(images).length, 1);
    await until("no loop device is left", () =>
      loopDevices().every(({ backingFile }) => !backingFile.startsWith(node.root)),
    );
    await node.kubectl(["delete", "pv/my-pv", "--timeout=60s"]);
  });

  test("a cloud's volume in the Pod itself is served by the driver that stands in, and keeps its data", async () => {
    const inline = pod.replace(
      "persistentVolumeClaim:\n        claimName: my-pvc",
      'awsElasticBlockStore:\n        volumeID: "vol-7"\n        fsType: ext4',
    );
    await node.apply(inline);
    await ready();
    await inPod("sh", "-c", "echo inline >/data/file");
    assert.match(await inPod("df", "-h", "/data"), /\/dev\/loop\d+/);
    assert.match(
      await node.text("get", "events", "--field-selector", "reason=DriverStandsIn,involvedObject.kind=Pod"),
      /loop\.csi\.tripod\.dev stands in for it/,
    );
    await node.kubectl(["delete", "pod/my-pod", "--timeout=60s"]);
    await node.apply(inline);
    await ready();
    assert.equal(await inPod("cat", "/data/file"), "inline");
    await node.kubectl(["delete", "pod/my-pod", "--timeout=60s"]);
    await until("no loop device is left", () =>
      loopDevices().every(({ backingFile }) => !backingFile.startsWith(node.root)),
    );
  });

  test("a kind of volume that nobody mounts here is named in an Event, with what to use", async () => {
    await node.apply(
      pod
        .replace("name: my-pod", "name: no-pod")
        .replace(
          "persistentVolumeClaim:\n        claimName: my-pvc",
          'iscsi:\n        targetPortal: "192.0.2.1:3260"\n        iqn: "iqn.2001-04.com.example:disk"\n        lun: 0',
        ),
    );
    await until("the Event is there", async () =>
      /volumes of kind iscsi are not mounted by this kubelet; use a PersistentVolume of iscsi\.csi\.k8s\.io/.test(
        await node.text("get", "events", "--field-selector", "reason=FailedMount,involvedObject.name=no-pod"),
      ),
    );
    await node.kubectl(["delete", "pod/no-pod", "--timeout=60s"]);
  });

  test("without the volume the claim is provisioned, by the driver that stands in, and deleted with it", async () => {
    await node.apply(claim);
    await node.apply(pod);
    await ready();
    const name = await node.text("get", "pvc", "my-pvc", "-o", "jsonpath={.spec.volumeName}");
    assert.match(name, /^pvc-/);
    assert.equal(await node.text("get", "pv", name, "-o", "jsonpath={.spec.csi.driver}"), "loop.csi.tripod.dev");
    await inPod("sh", "-c", "echo x >/data/file");
    const before = readdirSync(images);
    await node.kubectl(["delete", "pod/my-pod", "pvc/my-pvc", "--timeout=60s"]);
    await until("the volume's file is gone", () => readdirSync(images).length === before.length - 1);
    assert.ok(existsSync(images));
  });
});
