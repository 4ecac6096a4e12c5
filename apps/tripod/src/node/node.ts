import { join } from "node:path";
import { createLogger, layoutOf } from "@tripod/base";
import { Command } from "commander";
import { loadConfig } from "./config.ts";
import { superviseHostpathDriver } from "./csi-driver-process.ts";
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
  const log = createLogger("tripod", { level: config.logLevel, file: join(layout.libDir, "log/node.log") });
  const nodeName = options.nodeName ?? config.nodeName ?? defaultNodeName();
  const podCidr = preparePodNetwork(layout, config.network.podCidr);
  if (options.cri === undefined) await startRuntime(layout, log, stack);
  const criSocket = options.cri?.replace(/^unix:\/\//, "") ?? layout.criSocket;
  const nodeIp = defaultNodeIp(layout.bridge);
  const { port } = await startWorker(
    { layout, nodeName, nodeIp, podCidr, criSocket, kubeconfig: options.kubeconfig, log },
    stack,
  );
  stack.use(superviseHostpathDriver({ layout, nodeName, log }));
  process.stdout.write(`tripod: node ${nodeName} runs, kubelet on port ${port}, CRI unix://${criSocket}\n`);
  await untilSignalled(log);
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
    .option("--node-name <name>", "name of the Node (default: the host's)", parseNodeName)
    .addHelpText(
      "after",
      "\nExamples:\n  tripod node --kubeconfig node.kubeconfig\n  tripod node --kubeconfig node.kubeconfig --cri unix:///run/containerd/containerd.sock",
    )
    .action((options: NodeOptions) => node(options));
}
