import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { Container, Pod, PodSpec, Stored, VolumeAttachment } from "@tripod/api/kubernetes";
import { runCommand } from "@tripod/base";
import {
  configMaps,
  csiDrivers,
  csiNodes,
  leases,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  secrets,
  services,
  storageClasses,
  volumeAttachments,
} from "@tripod/kube";
import { loopDevices } from "@tripod/linux";
import { findKubectls, goProgram, goPrograms, interop, noKubectl, until } from "@tripod/testing";
import { DriverProcess, nodeIp, nodeName, startUpstreamNode, type UpstreamNode } from "./upstream-node.ts";

const program = goProgram(goPrograms.kubelet);
const caller = `kubelet ${goPrograms.kubelet.version.slice(1)}`;
const skip = "skip" in program && program.skip;
const where = { namespace: "default" };
const untilTold = "trap 'exit 0' TERM; while :; do sleep 0.1; done";
const stack = new AsyncDisposableStack();
let node: UpstreamNode;
const processes = new Map<string, DriverProcess>();

const drivers = [
  // A folder is as large as the disk it lies on.
  { word: "hostpath", fsType: undefined, size: "64Mi", grown: "96Mi", seenBytes: 0 },
  // The kernel lets xfs grow while it is mounted, whoever asks.
  { word: "loop", fsType: "xfs", size: "320Mi", grown: "640Mi", seenBytes: 500 * 1024 ** 2 },
] as const;
const driverName = (word: string): string => `${word}.csi.tripod.dev`;

before(async () => {
  if (skip !== false) return;
  node = await startUpstreamNode(stack);
  const { client } = node;
  for (const { word, fsType } of drivers) {
    const name = driverName(word);
    await client.resource(csiDrivers).create({
      metadata: { name },
      spec: {
        attachRequired: true,
        podInfoOnMount: true,
        fsGroupPolicy: "File",
        volumeLifecycleModes: ["Persistent", "Ephemeral"],
      },
    });
    await client.resource(storageClasses).create({
      metadata: { name: word },
      provisioner: name,
      volumeBindingMode: "WaitForFirstConsumer",
      allowVolumeExpansion: true,
      ...(fsType === undefined ? {} : { parameters: { "csi.storage.k8s.io/fstype": fsType } }),
    });
    const driver = stack.use(new DriverProcess(node, word, name));
    driver.start();
    processes.set(word, driver);
  }
  await node.until(csiNodes, { name: nodeName }, (each) => each?.spec.drivers.length === drivers.length);
});
after(() => stack.disposeAsync());

/** A Pod of one container that runs `script` with the claim at /data, or as the device /dev/data. */
async function run(
  name: string,
  claimName: string,
  script: string,
  options: { readonly block?: true; readonly spec?: Partial<PodSpec> } = {},
): Promise<void> {
  const container: Container = {
    name: "main",
    image: node.image,
    command: ["sh", "-c", script],
    ...(options.block === true
      ? { volumeDevices: [{ name: "v", devicePath: "/dev/data" }] }
      : { volumeMounts: [{ name: "v", mountPath: "/data" }] }),
  };
  await node.client.resource(pods).create({
    metadata: { name, ...where },
    spec: {
      restartPolicy: "Never",
      terminationGracePeriodSeconds: 2,
      volumes: [{ name: "v", persistentVolumeClaim: { claimName } }],
      ...options.spec,
      containers: [container],
    },
  });
}

const phase = (name: string, wanted: string): Promise<Stored<Pod> | undefined> =>
  node.until(pods, { name, ...where }, (pod) => {
    assert.notEqual(pod?.status?.phase, wanted === "Failed" ? undefined : "Failed", JSON.stringify(pod?.status));
    return pod?.status?.phase === wanted;
  });

/** What a Pod that has succeeded wrote to its /dev/termination-log. */
async function told(name: string): Promise<string> {
  const pod = await phase(name, "Succeeded");
  return pod?.status?.containerStatuses?.[0]?.state?.terminated?.message ?? "";
}

async function claim(name: string, className: string, storage: string, volumeMode?: "Block"): Promise<void> {
  await node.client.resource(persistentVolumeClaims).create({
    metadata: { name, ...where },
    spec: {
      accessModes: ["ReadWriteOnce"],
      resources: { requests: { storage } },
      storageClassName: className,
      ...(volumeMode === undefined ? {} : { volumeMode }),
    },
  });
}

async function remove(name: string): Promise<void> {
  await node.client.resource(pods).delete(name, where);
  await node.until(pods, { name, ...where }, (pod) => pod === undefined);
}

/** Where volumes of CSI are mounted, staged or shown as devices. */
const mounted = (): string[] =>
  node.mounts
    .list()
    .map(({ mountPoint }) => mountPoint)
    .filter((each) => each.startsWith(`${node.kubelet.rootDir}/`) && each.includes("csi"));

async function attachmentsBy(driver: string): Promise<readonly Stored<VolumeAttachment>[]> {
  const { items } = await node.client.resource(volumeAttachments).list();
  return items.filter(({ spec }) => spec.attacher === driver);
}

/** Resolves when no volume of the driver is attached any more: the Node has said that none is mounted. */
async function detached(driver: string): Promise<void> {
  await until("the volume is detached", async () => (await attachmentsBy(driver)).length === 0);
  assert.deepEqual(mounted(), []);
}

const isRunning = (name: string): Promise<Stored<Pod> | undefined> => phase(name, "Running");

/** Starts the kubelet again; resolves when it has renewed its Lease. */
async function startKubelet(): Promise<void> {
  const inNamespace = { name: nodeName, namespace: "kube-node-lease" };
  const before = new Date().toISOString();
  node.kubelet.start();
  await node.until(leases, inNamespace, (lease) => (lease?.spec?.renewTime ?? "") > before);
}

interface VolumeStats {
  readonly capacityBytes?: number;
  readonly pvcRef?: { readonly name: string };
}

/** What the kubelet's /stats/summary tells of a claim. */
async function statsOf(claimName: string): Promise<VolumeStats | undefined> {
  const response = await fetch(`http://${nodeIp}:10255/stats/summary`);
  // As upstream documents it.
  const { pods: all } = (await response.json()) as { readonly pods: readonly { readonly volume?: VolumeStats[] }[] };
  return all.flatMap(({ volume = [] }) => volume).find(({ pvcRef }) => pvcRef?.name === claimName);
}

describe(interop({ interface: "Kubernetes API", caller, callee: "Tripod's API server" }), { skip }, () => {
  test("the node has a Lease, and a CSINode that tells of the drivers with their topology", async () => {
    const { client } = node;
    const { metadata } = await client.resource(nodes).get(nodeName);
    const { spec } = await client.resource(csiNodes).get(nodeName);
    assert.deepEqual(
      spec.drivers
        .map(({ name, nodeID, topologyKeys }) => ({ name, nodeID, topologyKeys }))
        .toSorted((a, b) => a.name.localeCompare(b.name)),
      drivers.map(({ word }) => ({
        name: driverName(word),
        nodeID: nodeName,
        topologyKeys: [`topology.${driverName(word)}/node`],
      })),
    );
    for (const { word } of drivers) assert.equal(metadata.labels?.[`topology.${driverName(word)}/node`], nodeName);
    const inNamespace = { name: nodeName, namespace: "kube-node-lease" };
    await node.until(leases, inNamespace, (lease) => lease?.spec?.holderIdentity === nodeName);
  });

  test("a Pod gets its account's token, a ConfigMap, a Secret and the address of a Service", async () => {
    const { client } = node;
    await client.resource(configMaps).create({ metadata: { name: "settings", ...where }, data: { colour: "green" } });
    await client.resource(secrets).create({ metadata: { name: "password", ...where }, stringData: { word: "sesame" } });
    await client.resource(services).create({
      metadata: { name: "shop", ...where },
      spec: { clusterIP: "192.0.2.80", ports: [{ port: 80 }] },
    });
    const dir = "/var/run/secrets/kubernetes.io/serviceaccount";
    await client.resource(pods).create({
      metadata: { name: "reader", ...where },
      spec: {
        restartPolicy: "Never",
        containers: [
          {
            name: "main",
            image: node.image,
            command: [
              "sh",
              "-c",
              `(cut -c1-3 ${dir}/token; cat ${dir}/namespace; echo; env | sort) >/dev/termination-log`,
            ],
            env: [{ name: "PASSWORD", valueFrom: { secretKeyRef: { name: "password", key: "word" } } }],
            envFrom: [{ configMapRef: { name: "settings" } }],
          },
        ],
      },
    });
    const lines = (await told("reader")).split("\n");
    assert.deepEqual(lines.slice(0, 2), ["eyJ", "default"]);
    for (const line of ["PASSWORD=sesame", "colour=green", "SHOP_SERVICE_HOST=192.0.2.80", "SHOP_SERVICE_PORT=80"])
      assert.ok(lines.includes(line), lines.join("\n"));
    await remove("reader");
  });

  test("kubectl's logs and exec go by the API server and the kubelet to our runtime", async (t) => {
    if (noKubectl !== undefined) return t.skip(noKubectl);
    const kubectl = async (...args: string[]): Promise<string> => {
      const all = ["--kubeconfig", node.kubeconfig, ...args];
      return (await runCommand(findKubectls().at(-1)?.path ?? "kubectl", all)).stdout.toString();
    };
    const command = ["sh", "-c", `echo started; ${untilTold}`];
    await node.client.resource(pods).create({
      metadata: { name: "talks", ...where },
      spec: { terminationGracePeriodSeconds: 2, containers: [{ name: "main", image: node.image, command }] },
    });
    await isRunning("talks");
    assert.equal(await kubectl("logs", "talks"), "started\n");
    assert.equal(await kubectl("exec", "talks", "--", "hostname"), "talks\n");
    await remove("talks");
  });
});

for (const { word, fsType, size, grown, seenBytes } of drivers)
  describe(interop({ interface: "CSI", caller, callee: `Tripod's ${word} driver` }), { skip }, () => {
    const name = driverName(word);
    let driver: DriverProcess;
    before(() => {
      const started = processes.get(word);
      assert.ok(started);
      driver = started;
    });
    /** How many loop devices have files of the driver. */
    const devices = (): number =>
      loopDevices().filter(({ backingFile }) => backingFile.startsWith(driver.stateDir)).length;

    test("what a Pod writes to a claim, the next one reads after a detachment", async () => {
      await claim(word, word, size);
      const user = { securityContext: { runAsUser: 1000, fsGroup: 2000 } };
      await run(`${word}-writer`, word, "echo lasting >/data/file", { spec: user });
      await phase(`${word}-writer`, "Succeeded");
      assert.deepEqual(
        (await attachmentsBy(name)).map(({ status }) => status?.attached),
        [true],
      );
      await remove(`${word}-writer`);
      await detached(name);
      await run(`${word}-reader`, word, "(cat /data/file; stat -c %u:%g /data/file) >/dev/termination-log");
      assert.equal(await told(`${word}-reader`), "lasting\n1000:2000\n");
      await remove(`${word}-reader`);
      await detached(name);
    });

    test("a volume grows in use, and the kubelet tells how large it is", async () => {
      await run(`${word}-grows`, word, untilTold);
      await isRunning(`${word}-grows`);
      assert.equal(devices(), fsType === undefined ? 0 : 1);
      const { client } = node;
      const wish = { spec: { resources: { requests: { storage: grown } } } };
      await client.resource(persistentVolumeClaims).patch(word, wish, where);
      await node.until(
        persistentVolumeClaims,
        { name: word, ...where },
        (each) =>
          each?.status?.capacity?.storage === grown &&
          (each.status.conditions ?? []).length === 0 &&
          Object.keys(each.status.allocatedResourceStatuses ?? {}).length === 0,
      );
      await until("the kubelet tells the size", async () => ((await statsOf(word))?.capacityBytes ?? 0) > seenBytes);
      const pod = await isRunning(`${word}-grows`);
      assert.equal(pod?.status?.containerStatuses?.[0]?.restartCount, 0);
    });

    test("a kubelet that was killed unmounts what it finds mounted, when the Pod goes", async () => {
      await node.kubelet.kill();
      await startKubelet();
      const pod = await isRunning(`${word}-grows`);
      assert.equal(pod?.status?.containerStatuses?.[0]?.restartCount, 0);
      await remove(`${word}-grows`);
      await detached(name);
    });

    test("a driver that was killed ends what it began before, and serves the next Pod", async () => {
      await run(`${word}-keeps`, word, untilTold);
      await isRunning(`${word}-keeps`);
      await driver.kill();
      driver.start();
      await remove(`${word}-keeps`);
      await detached(name);
      await run(`${word}-next`, word, "cat /data/file >/dev/termination-log");
      assert.equal(await told(`${word}-next`), "lasting\n");
      await remove(`${word}-next`);
      await detached(name);
    });

    test("kubelet and driver are killed, and the Pod is deleted before they are back", async () => {
      await run(`${word}-leaves`, word, untilTold);
      await isRunning(`${word}-leaves`);
      await node.kubelet.kill();
      await driver.kill();
      await node.client.resource(pods).delete(`${word}-leaves`, where);
      driver.start();
      await startKubelet();
      await node.until(pods, { name: `${word}-leaves`, ...where }, (each) => each === undefined);
      await detached(name);
    });

    test("a raw block device of the size that was asked for", async () => {
      await claim(`${word}-raw`, word, size, "Block");
      const script = "echo raw >/dev/data; (head -c 4 /dev/data; blockdev --getsize64 /dev/data) >/dev/termination-log";
      await run(`${word}-raw`, `${word}-raw`, script, { block: true });
      assert.equal(await told(`${word}-raw`), `raw\n${Number.parseInt(size, 10) * 1024 ** 2}\n`);
      await remove(`${word}-raw`);
      await detached(name);
    });

    test("a volume that lives as long as its Pod", async () => {
      await run(`${word}-inline`, "", "echo here >/data/file; cat /data/file >/dev/termination-log", {
        spec: { volumes: [{ name: "v", csi: { driver: name, volumeAttributes: { size: "64Mi" } } }] },
      });
      assert.equal(await told(`${word}-inline`), "here\n");
      // The kubelet unmounts what nobody has to detach after the Pod is gone.
      await remove(`${word}-inline`);
      await until("it is unmounted", () => mounted().length === 0);
    });

    test("with the claims go the volumes; no loop device and no file of theirs is left", async () => {
      const { client } = node;
      for (const claimName of [word, `${word}-raw`]) {
        const { spec } = await client.resource(persistentVolumeClaims).get(claimName, where);
        await client.resource(persistentVolumeClaims).delete(claimName, where);
        await node.until(persistentVolumes, { name: spec.volumeName ?? "" }, (volume) => volume === undefined);
      }
      const { stateDir } = driver;
      assert.deepEqual(readdirSync(join(stateDir, "volumes")), []);
      const entries = readdirSync(join(node.kubelet.rootDir, "plugins/kubernetes.io"), {
        recursive: true,
        withFileTypes: true,
      });
      // Empty folders this kubelet leaves, of volumes that are not staged for one.
      assert.deepEqual(
        entries.flatMap((entry) => (entry.isDirectory() ? [] : [join(entry.parentPath, entry.name)])),
        [],
      );
      assert.equal(devices(), 0);
    });
  });
