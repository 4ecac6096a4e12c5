import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Pod } from "@tripod/api/kubernetes";
import { createLogger, type Layout, silentLogger } from "@tripod/base";
import { isolateNetwork, removeCgroup } from "@tripod/linux";
import { type CriProcess, pushBusybox, startRegistry, tempRoot, type TestRegistry } from "@tripod/testing";
import type { KubeletOptions } from "../kubelet-options.ts";
import { type Kubelet, startKubelet } from "../start-kubelet.ts";
import { startContainerdCri, startTripodCri } from "./cri-peer.ts";
import { MemoryApi } from "./memory-api.ts";
import { type TestCertificates, testCertificates } from "./test-certificates.ts";

export const testNodeName = "node-1";

/** A kubelet with an API server in memory, a registry with a busybox image, and a real runtime. */
export interface TestCluster extends AsyncDisposable {
  readonly layout: Layout;
  readonly api: MemoryApi;
  readonly registry: TestRegistry;
  readonly image: string;
  readonly peer: CriProcess;
  readonly certificates: TestCertificates;
  kubelet: Kubelet;
  /** What the kubelet was started with, beside its layout and log. */
  readonly kubeletOptions: Omit<KubeletOptions, "layout" | "log">;
  /** Stops the kubelet and starts another one on the same state. */
  restart(): Promise<void>;
  /** Puts a Pod on this node in. */
  createPod(name: string, spec: Partial<NonNullable<Pod["spec"]>>): Pod;
  /** Waits for a Pod's status. */
  pod(name: string, condition: (pod: Pod) => boolean, timeoutMs?: number): Promise<Pod>;
  /** Waits until the Pod is out of the API. */
  gone(name: string): Promise<void>;
  /** Waits until an Event about the Pod has the text in it. */
  told(name: string, text: string): Promise<void>;
  /** The Events about a Pod, "Reason: message". */
  events(name: string): string[];
}

let isolated = false;

/** Starts one. The calling process leaves the machine's network for good. */
export async function startTestCluster(runtime: "tripod" | "containerd"): Promise<TestCluster> {
  if (!isolated) isolateNetwork();
  isolated = true;
  await using undo = new AsyncDisposableStack();
  const root = undo.use(tempRoot());
  const { layout } = root;
  chmodSync(root.path, 0o711); // root of a user namespace passes through it
  undo.defer(() => removeCgroup(layout.cgroupParent));
  const registry = undo.use(await startRegistry());
  const image = await pushBusybox(registry);
  mkdirSync(layout.cniConfDir, { recursive: true });
  const conflist = {
    cniVersion: "1.0.0",
    name: "test",
    plugins: [
      {
        type: "bridge",
        bridge: layout.bridge,
        isGateway: true,
        ipam: {
          type: "host-local",
          ranges: [[{ subnet: "10.78.0.0/24" }]],
          routes: [{ dst: "0.0.0.0/0" }],
          dataDir: layout.cniDataDir,
        },
      },
    ],
  };
  writeFileSync(join(layout.cniConfDir, "10-test.conflist"), JSON.stringify(conflist));
  const kubeconfig = join(root.path, "kubeconfig");
  const api = undo.use(await MemoryApi.start(kubeconfig));
  const peer = undo.use(
    runtime === "tripod" ? await startTripodCri(layout) : await startContainerdCri(layout, registry),
  );
  const certificates = await testCertificates(root.path);
  const kubeletOptions = {
    nodeName: testNodeName,
    kubeconfig,
    criSocket: peer.socket,
    tls: { cert: certificates.serverCert, key: certificates.serverKey, clientCa: certificates.ca },
    address: "127.0.0.1",
    port: 0,
    nodeIp: "127.0.0.1",
  };
  const start = (): Promise<Kubelet> =>
    startKubelet({
      ...kubeletOptions,
      layout,
      log: process.env["TEST_LOG"] === undefined ? silentLogger : createLogger("kubelet", { level: "debug" }),
    });
  let kubelet = await start();
  undo.defer(() => kubelet.close());
  const held = undo.move();
  const cluster: TestCluster = {
    layout,
    api,
    registry,
    image,
    peer,
    certificates,
    kubelet,
    kubeletOptions,
    async restart() {
      await kubelet.close();
      kubelet = await start();
      cluster.kubelet = kubelet;
    },
    createPod: (name, spec) =>
      api.create<Pod>("pods", {
        metadata: { name, namespace: "default" },
        spec: { nodeName: testNodeName, terminationGracePeriodSeconds: 1, containers: [], ...spec },
      }),
    pod: (name, condition, timeoutMs) =>
      api.until<Pod>("pods", `default/${name}`, (pod) => pod !== undefined && condition(pod), timeoutMs),
    async gone(name) {
      await api.until<Pod>("pods", `default/${name}`, (pod) => pod === undefined);
    },
    events: (name) =>
      api
        .list<{ involvedObject: { name: string }; reason: string; message: string }>("events")
        .filter(({ involvedObject }) => involvedObject.name === name)
        .map(({ reason, message }) => `${reason}: ${message}`),
    told: (name, text) => api.changed("events", () => cluster.events(name).some((each) => each.includes(text))),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
  return cluster;
}
