import { join } from "node:path";
import { createLogger, layoutOf } from "@tripod/base";
import { KubeClient } from "@tripod/kube";
import { Command } from "commander";
import { loadConfig } from "./config.ts";
import { followConfig } from "./follow-config.ts";
import { nodeNameFor } from "./credentials-node-name.ts";
import { superviseDrivers } from "./driver-processes.ts";
import { nodeReady } from "./node-ready.ts";
import { parseNodeName } from "./node-options.ts";
import { defaultNodeIp, defaultNodeName, enterInstance, requireRoot, untilSignalled } from "./node-process.ts";
import { preparePodNetwork } from "./pod-network.ts";
import { startRuntime } from "./runtime.ts";
import { startWorker } from "./worker.ts";

interface NodeOptions {
  readonly root?: string;
  readonly kubeconfig: string;
  readonly cri?: string;
  readonly nodeName?: string;
}

async function node(options: NodeOptions): Promise<void> {
  requireRoot();
  const layout = layoutOf(options.root);
  await using stack = new AsyncDisposableStack();
  enterInstance(layout, stack);
  const config = loadConfig(layout);
  const logFile = join(layout.libDir, "log/node.log");
  const log = createLogger("tripod", { level: config.logLevel, file: logFile });
  const { kubeconfig } = options;
  const nodeName = nodeNameFor({
    kubeconfig,
    wanted: options.nodeName ?? config.nodeName,
    otherwise: defaultNodeName(),
  });
  const podCidr = preparePodNetwork(layout, config.network.podCidr);
  const cri = options.cri === undefined ? await startRuntime({ layout, log, config: config.cri }, stack) : undefined;
  followConfig({ layout, log, config, cri, logLevel: undefined }, stack);
  const criSocket = options.cri?.replace(/^unix:\/\//, "") ?? layout.criSocket;
  const nodeIp = defaultNodeIp(layout.bridge);
  const { port } = await startWorker({ layout, nodeName, nodeIp, podCidr, criSocket, kubeconfig, log }, stack);
  stack.use(superviseDrivers({ layout, nodeName, log }));
  const stopped = untilSignalled(log);
  const client = stack.use(KubeClient.fromKubeconfig(kubeconfig));
  const why = await Promise.race([
    stopped,
    nodeReady(client, nodeName, {
      timeoutMs: 10_000,
      onWaiting: (reason) => process.stdout.write(`tripod: waiting for node ${nodeName} to be Ready: ${reason}\n`),
    }),
  ]);
  const state = why === undefined ? "is Ready" : `runs, but is not Ready: ${why} (more in ${logFile})`;
  process.stdout.write(`tripod: node ${nodeName} ${state}; kubelet on port ${port}, CRI unix://${criSocket}\n`);
  await stopped;
}

/** `tripod node`. */
export function nodeCommand(): Command {
  return new Command("node")
    .description(
      "Run the kubelet, and the container runtime unless --cri names another, against any Kubernetes API server",
    )
    .requiredOption("--kubeconfig <file>", "credentials of the node (system:node:NAME)")
    .option("--root <dir>", "put everything under this folder")
    .option("--cri <socket>", "the socket of another CRI runtime, such as containerd's")
    .option("--node-name <name>", "name of the Node (default: the credentials', else the host's)", parseNodeName)
    .addHelpText(
      "after",
      "\nExamples:\n  tripod node --kubeconfig node.kubeconfig\n  tripod node --kubeconfig node.kubeconfig --cri unix:///run/containerd/containerd.sock",
    )
    .action((options: NodeOptions) => node(options));
}
