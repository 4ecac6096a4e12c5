import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { interop, noKubectl, until } from "@tripod/testing";
import { image, TestNode } from "../e2e/node.ts";

const manifest = `
apiVersion: storage.k8s.io/v1
kind: CSIDriver
metadata: { name: folders.example.com }
spec: { attachRequired: false, podInfoOnMount: false }
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: { name: folders }
provisioner: folders.example.com
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: { name: data }
spec: { accessModes: [ReadWriteOnce], storageClassName: folders, resources: { requests: { storage: 1Mi } } }
---
apiVersion: v1
kind: Pod
metadata: { name: writer }
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: main
      image: ${image}
      command: [sh, -c, "echo written >/data/file; sleep 1000"]
      volumeMounts: [{ name: data, mountPath: /data }]
  volumes: [{ name: data, persistentVolumeClaim: { claimName: data } }]
`;

describe(interop({ interface: "CSI", caller: "tripod up", callee: "a driver started by hand" }), {
  skip: noKubectl ?? false,
}, () => {
  const stack = new AsyncDisposableStack();
  let node: TestNode;
  let dataDir: string;

  before(async () => {
    node = stack.use(await TestNode.start());
    dataDir = join(node.root, "third-party");
    const program = [
      join(import.meta.dirname, "folder-driver.ts"),
      `unix://${join(node.root, "third-party.sock")}`,
      node.layout.pluginsRegistryDir,
      dataDir,
      await node.text("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"),
    ];
    const child = node.network.spawn(process.execPath, program, { stdio: ["ignore", "pipe", "inherit"] });
    stack.defer(async () => {
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      await ended;
    });
    assert.ok(child.stdout);
    for await (const line of createInterface({ input: child.stdout })) if (line === "ready") break;
  });
  after(() => stack.disposeAsync());

  test("it registers itself: the CSINode names it, with the node id that it gave", async () => {
    const driver = '{.items[0].spec.drivers[?(@.name=="folders.example.com")].nodeID}';
    await until("the CSINode names the driver", async () => {
      const nodeId = await node.text("get", "csinodes", "-o", `jsonpath=${driver}`);
      return nodeId !== "" && nodeId === (await node.text("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"));
    });
  });

  test("a claim of its class is provisioned, mounted in a Pod, and deleted with the claim", async () => {
    await node.apply(manifest);
    await node.kubectl(["wait", "--for=condition=Ready", "pod/writer", "--timeout=60s"]);
    const volume = await node.text("get", "pvc", "data", "-o", "jsonpath={.spec.volumeName}");
    assert.deepEqual(readdirSync(dataDir), [volume]);
    await until("the Pod has written", async () => readdirSync(join(dataDir, volume)).includes("file"));
    assert.equal(readFileSync(join(dataDir, volume, "file"), "utf8"), "written\n");
    await node.kubectl(["delete", "pod/writer", "pvc/data", "--timeout=60s"]);
    await until("the volume is deleted", () => readdirSync(dataDir).length === 0);
  });
});
