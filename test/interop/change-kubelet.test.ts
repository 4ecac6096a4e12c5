import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { layoutOf } from "@tripod/base";
import { csiDrivers, csiNodes, persistentVolumeClaims, pods, storageClasses, volumeAttachments } from "@tripod/kube";
import { loopDevices, removeCgroup } from "@tripod/linux";
import { goProgram, goPrograms, interop, until } from "@tripod/testing";
import { DriverProcess, nodeIp, nodeName, startUpstreamNode, type UpstreamNode } from "./upstream-node.ts";

const program = goProgram(goPrograms.kubelet);
const caller = `kubelet ${goPrograms.kubelet.version.slice(1)}, and Tripod's in its place`;
const skip = "skip" in program && program.skip;
const where = { namespace: "default" };
const driverName = "loop.csi.tripod.dev";
const main = join(import.meta.dirname, "../../packages/kubelet/src/testing/kubelet-main.ts");

describe(interop({ interface: "CSI", caller, callee: "Tripod's loop driver" }), { skip }, () => {
  const stack = new AsyncDisposableStack();
  let node: UpstreamNode;
  let ours: ChildProcess | undefined;

  before(async () => {
    node = await startUpstreamNode(stack);
    const { client } = node;
    await client.resource(csiDrivers).create({ metadata: { name: driverName }, spec: { attachRequired: true } });
    await client.resource(storageClasses).create({
      metadata: { name: "loop" },
      provisioner: driverName,
      volumeBindingMode: "WaitForFirstConsumer",
    });
    const driver = stack.use(new DriverProcess(node, "loop", driverName));
    driver.start();
    await node.until(csiNodes, { name: nodeName }, (each) => each?.spec.drivers.length === 1);
    for (const [name, volumeMode] of [
      ["raw", "Block"],
      ["files", "Filesystem"],
    ] as const)
      await client.resource(persistentVolumeClaims).create({
        metadata: { name, ...where },
        spec: {
          accessModes: ["ReadWriteOnce"],
          resources: { requests: { storage: "64Mi" } },
          storageClassName: "loop",
          volumeMode,
        },
      });
    stack.defer(stopOurs);
  });
  after(() => stack.disposeAsync());

  /** Our kubelet on the folder of upstream's, as the same node. */
  async function startOurs(): Promise<void> {
    const { pkiDir } = layoutOf(dirname(node.kubeconfig));
    const pair = readFileSync(join(pkiDir, "kubelet-client.pem"), "utf8");
    const { rootDir } = node.kubelet;
    const root = join(rootDir, "../ours");
    mkdirSync(root, { recursive: true });
    stack.defer(() => removeCgroup(layoutOf(root).cgroupParent));
    const options = {
      root,
      layout: { kubeletDir: rootDir, pluginsRegistryDir: join(rootDir, "plugins_registry") },
      nodeName,
      nodeIp,
      kubeconfig: join(pkiDir, "kubelet.kubeconfig"),
      criSocket: node.criSocket,
      tls: { cert: pair, key: pair, clientCa: pair },
      address: nodeIp,
      port: 10250,
    };
    const [command, ...args] = node.mounts.enter(process.execPath, main, JSON.stringify(options));
    ours = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
    assert.ok(ours.stdout);
    await once(ours.stdout, "data");
  }

  async function stopOurs(): Promise<void> {
    const child = ours;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }

  /** A Pod of both claims; resolves with its uid when it is ready. */
  async function run(name: string): Promise<string> {
    await node.client.resource(pods).create({
      metadata: { name, ...where },
      spec: {
        terminationGracePeriodSeconds: 1,
        volumes: ["raw", "files"].map((each) => ({ name: each, persistentVolumeClaim: { claimName: each } })),
        containers: [
          {
            name: "main",
            image: node.image,
            command: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"],
            volumeDevices: [{ name: "raw", devicePath: "/dev/data" }],
            volumeMounts: [{ name: "files", mountPath: "/data" }],
          },
        ],
      },
    });
    const pod = await node.until(pods, { name, ...where }, (each) => each?.status?.phase === "Running");
    const uid = pod?.metadata.uid ?? "";
    await until("the device is held", () => holds(uid).length === 1);
    return uid;
  }

  async function remove(name: string, uid: string): Promise<void> {
    await node.client.resource(pods).delete(name, where);
    await node.until(pods, { name, ...where }, (each) => each === undefined);
    // Upstream's kubelet goes on with what is staged, and the control plane detaches it then.
    await until("the volumes are detached", async () => {
      const { items } = await node.client.resource(volumeAttachments).list();
      return items.length === 0;
    });
    assert.deepEqual(holds(uid), []);
    await until("the Pod's folder is gone", () => !existsSync(join(node.kubelet.rootDir, "pods", uid)));
    const { rootDir } = node.kubelet;
    const mounted = node.mounts.list().filter(({ mountPoint }) => mountPoint.startsWith(`${rootDir}/`));
    assert.deepEqual(
      mounted.map(({ mountPoint }) => mountPoint),
      [],
    );
    const left = readdirSync(join(rootDir, "plugins/kubernetes.io"), { recursive: true, withFileTypes: true });
    assert.deepEqual(
      left.flatMap((entry) => (entry.isDirectory() ? [] : [join(entry.parentPath, entry.name)])),
      [],
    );
  }

  /** The loop devices that keep the Pod's device open. */
  const holds = (uid: string) => loopDevices().filter(({ backingFile }) => backingFile.endsWith(`/dev/${uid}`));

  test("our kubelet takes over a Pod's volumes from upstream's, holds the same, and takes them away", async () => {
    const uid = await run("from-upstream");
    const before = holds(uid);
    await node.kubelet.kill();
    await startOurs();
    await node.until(pods, { name: "from-upstream", ...where }, (pod) =>
      (pod?.status?.conditions ?? []).some(({ type, status }) => type === "Ready" && status === "True"),
    );
    assert.deepEqual(holds(uid), before);
    await remove("from-upstream", uid);
  });

  test("upstream's kubelet takes over from ours, holds the same, and takes them away", async () => {
    const uid = await run("from-ours");
    const before = holds(uid);
    await stopOurs();
    node.kubelet.start();
    await until("upstream's kubelet serves", async () => {
      const answer = await fetch(`http://${nodeIp}:10255/pods`).catch(() => undefined);
      return answer !== undefined && (await answer.text()).includes(uid);
    });
    assert.deepEqual(holds(uid), before);
    await remove("from-ours", uid);
  });
});
