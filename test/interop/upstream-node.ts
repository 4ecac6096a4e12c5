import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { messageOf, randomHex, TripodError } from "@tripod/base";
import { isolateNetwork, openRtnetlink, removeCgroup } from "@tripod/linux";
import { type KubeClient, nodes, waitFor } from "@tripod/kube";
import { goProgram, goPrograms, pushBusybox, startCriProcess, startRegistry, tempRoot } from "@tripod/testing";
import { type ControlPlane, startControlPlane } from "../controllers/control-plane.ts";
import { KubeletProcess, NodeMounts } from "./kubelet-process.ts";

/** Upstream's kubelet as a node of our control plane, on our container runtime. Drivers are what the test starts. */
export interface UpstreamNode {
  readonly client: KubeClient;
  /** The administrator's. */
  readonly kubeconfig: string;
  readonly kubelet: KubeletProcess;
  readonly mounts: NodeMounts;
  readonly criSocket: string;
  /** busybox, as Pods name it. */
  readonly image: string;
  /** Waits until `holds` is true of the object, undefined while there is none. */
  readonly until: ControlPlane["until"];
}

/** The node that the control plane writes a kubeconfig for. */
export const nodeName = "n1";
export const nodeIp = "192.0.2.10";
const tripod = join(import.meta.dirname, "../../tripod");

/** Resolves when the node is ready. */
export async function startUpstreamNode(stack: AsyncDisposableStack): Promise<UpstreamNode> {
  const program = goProgram(goPrograms.kubelet);
  assert.ok("path" in program);
  isolateNetwork();
  using network = openRtnetlink();
  network.addressAdd({ index: network.linkByName("lo").index, address: `${nodeIp}/32` });
  const root = stack.use(tempRoot());
  const { layout } = root;
  chmodSync(root.path, 0o711);
  stack.defer(() => removeCgroup(layout.cgroupParent));
  const image = await pushBusybox(stack.use(await startRegistry()));
  const mounts = stack.use(await NodeMounts.make(join(root.path, "sysctls")));
  const dir = join(root.path, "k");
  const pluginsRegistryDir = join(dir, "root/plugins_registry");
  mkdirSync(pluginsRegistryDir, { recursive: true });
  const plane = await startControlPlane(stack, { pluginsRegistryDir });
  const kubelet = stack.use(
    new KubeletProcess({
      program: program.path,
      dir,
      mounts,
      criSocket: layout.criSocket,
      cgroupRoot: `/tripod-kubelet-${randomHex(4)}`,
      featureGates: {},
      cluster: {
        kubeconfig: join(plane.layout.pkiDir, "kubelet.kubeconfig"),
        nodeName,
        nodeIp,
        servingPair: join(plane.layout.pkiDir, "kubelet-client.pem"),
      },
    }),
  );
  stack.use(
    await startCriProcess({
      command: mounts.enter(tripod, "cri", "--root", root.path),
      socket: layout.criSocket,
      logFile: join(root.path, "daemon.log"),
    }),
  );
  // Before the runtime ends its Pods.
  stack.defer(() => kubelet.kill());
  kubelet.start();
  const { client, layout: planeLayout } = plane;
  const node: UpstreamNode = {
    client,
    kubeconfig: planeLayout.kubeconfig,
    kubelet,
    mounts,
    criSocket: layout.criSocket,
    image,
    async until(ref, { name, namespace }, holds) {
      try {
        return await waitFor(client.resource(ref), name, holds, namespace === undefined ? {} : { namespace });
      } catch (error) {
        throw new TripodError("timeout", `${messageOf(error)}; the kubelet's log: ${kubelet.log.slice(-4000)}`, {
          cause: error,
        });
      }
    },
  };
  await node.until(nodes, { name: nodeName }, (each) =>
    (each?.status?.conditions ?? []).some(({ type, status }) => type === "Ready" && status === "True"),
  );
  return node;
}

/** One of our drivers, whose volumes are to be attached, where the node's kubelet finds it. */
export class DriverProcess implements AsyncDisposable {
  readonly stateDir: string;
  readonly #command: [string, ...string[]];
  #child: ChildProcess | undefined;

  /** `word` is what `tripod csi serve` knows the driver by. */
  constructor({ kubelet, mounts }: UpstreamNode, word: string, name: string) {
    this.stateDir = join(kubelet.rootDir, "..", name);
    const pluginDir = join(kubelet.rootDir, "plugins", name);
    mkdirSync(pluginDir, { recursive: true });
    const args = [
      `--endpoint=unix://${join(pluginDir, "csi.sock")}`,
      `--node-id=${nodeName}`,
      `--state=${this.stateDir}`,
      `--registration-dir=${join(kubelet.rootDir, "plugins_registry")}`,
      "--attach",
    ];
    this.#command = mounts.enter(tripod, "csi", "serve", word, ...args);
  }

  start(): void {
    const [command, ...args] = this.#command;
    const output = process.env.TRIPOD_TEST_LOG === undefined ? "ignore" : "inherit";
    this.#child = spawn(command, args, { stdio: ["ignore", "ignore", output] });
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }
}
