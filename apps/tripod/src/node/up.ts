import { join } from "node:path";
import type { Node } from "@tripod/api/kubernetes";
import { startApiServer } from "@tripod/apiserver";
import { createLogger, type Layout, layoutOf, type LevelledLogger } from "@tripod/base";
import { startControllers } from "@tripod/controllers";
import { KubeClient } from "@tripod/kube";
import { Command } from "commander";
import { type Config, loadConfig } from "./config.ts";
import { describeDrivers } from "./describe-drivers.ts";
import { defaultStandIns, superviseDrivers } from "./driver-processes.ts";
import { followConfig } from "./follow-config.ts";
import { chooseApiserverPort } from "./free-port.ts";
import { logLevelOption, parseNodeName, parsePort } from "./node-options.ts";
import { defaultNodeIp, defaultNodeName, enterInstance, requireRoot, untilSignalled } from "./node-process.ts";
import { nodeReady } from "./node-ready.ts";
import { preparePodNetwork } from "./pod-network.ts";
import { releaseStartMemory } from "./release-start-memory.ts";
import { requireRuntimePrograms, startRuntime } from "./runtime.ts";
import { startWorker } from "./worker.ts";

interface UpOptions {
  readonly root?: string;
  readonly port?: number;
  readonly nodeName?: string;
  readonly logLevel?: Config["logLevel"];
}

/** Starts every part of the node; each is undone in reverse when `stack` is disposed. Resolves when the Node is Ready. */
async function startNode(
  layout: Layout,
  config: Config,
  options: UpOptions,
  log: LevelledLogger,
  stack: AsyncDisposableStack,
): Promise<{ url: string; nodeName: string }> {
  const nodeName = options.nodeName ?? config.nodeName ?? defaultNodeName();
  const port = await chooseApiserverPort(layout, options.port ?? config.apiserver.port);
  const podCidr = preparePodNetwork(layout, config.network.podCidr);
  requireRuntimePrograms();
  // The API server reaches its own node's kubelet over loopback, so that a changed address or no network breaks nothing.
  let kubeletPort = 0;
  const kubeletAddress = (node: Node) =>
    node.metadata.name === nodeName ? { host: "127.0.0.1", port: kubeletPort } : undefined;
  const [apiserver, runtime] = await Promise.allSettled([
    startApiServer({
      layout,
      address: "127.0.0.1",
      port,
      nodeName,
      log: log.child({ part: "apiserver" }),
      kubeletAddress,
    }),
    startRuntime({ layout, log, config: config.cri }, stack),
  ]);
  if (apiserver.status === "fulfilled") stack.defer(() => apiserver.value.close());
  if (apiserver.status === "rejected") throw apiserver.reason;
  if (runtime.status === "rejected") throw runtime.reason;
  followConfig({ layout, log, config, cri: runtime.value, logLevel: options.logLevel }, stack);
  const standIns = config.storage.standIns ?? defaultStandIns;
  const kubelet = await startWorker(
    {
      layout,
      nodeName,
      nodeIp: defaultNodeIp(layout.bridge),
      podCidr,
      criSocket: layout.criSocket,
      kubeconfig: join(layout.pkiDir, "kubelet.kubeconfig"),
      standIns,
      log,
    },
    stack,
  );
  kubeletPort = kubelet.port;
  const controllers = await startControllers({
    kubeconfig: join(layout.pkiDir, "controllers.kubeconfig"),
    pluginsRegistryDir: layout.pluginsRegistryDir,
    log: log.child({ part: "controllers" }),
    standIns,
  });
  stack.defer(() => controllers.close());
  stack.use(superviseDrivers({ layout, nodeName, log }));
  await describeDrivers(stack.use(KubeClient.fromKubeconfig(layout.kubeconfig)));
  return { url: apiserver.value.url, nodeName };
}

async function up(options: UpOptions): Promise<void> {
  const startedMs = performance.now();
  requireRoot();
  const layout = layoutOf(options.root);
  await using stack = new AsyncDisposableStack();
  enterInstance(layout, stack);
  const config = loadConfig(layout);
  const log = createLogger("tripod", {
    level: options.logLevel ?? config.logLevel,
    file: join(layout.libDir, "log/tripod.log"),
  });
  const { url, nodeName } = await startNode(layout, config, options, log, stack);
  const client = stack.use(KubeClient.fromKubeconfig(layout.kubeconfig));
  const stopped = untilSignalled(log);
  const state = await nodeReady(client, nodeName, {
    timeoutMs: 10_000,
    onWaiting: (why) => process.stdout.write(`tripod: waiting for node ${nodeName} to be Ready: ${why}\n`),
  });
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(2);
  const readiness = state === undefined ? "ready" : `up, but node ${nodeName} is not Ready: ${state}`;
  process.stdout.write(
    `tripod: ${readiness} in ${seconds} s; API server ${url}\nexport KUBECONFIG=${layout.kubeconfig}\n`,
  );
  releaseStartMemory();
  await stopped;
  process.stdout.write("tripod: stopping; what runs in Pods keeps running (tripod down removes it)\n");
}

/** `tripod up`. */
export function upCommand(): Command {
  return new Command("up")
    .description(
      "Bring up the node with its embedded control plane; stays in the foreground. Ctrl-C stops it and leaves Pods running.",
    )
    .option("--root <dir>", "put everything under this folder, beside any other instance")
    .option(
      "--port <port>",
      "port of the API server on 127.0.0.1 (default: the last one, else 6443, else a free one)",
      parsePort,
    )
    .option("--node-name <name>", "name of the Node (default: the host's)", parseNodeName)
    .addOption(logLevelOption())
    .addHelpText(
      "after",
      "\nExamples:\n  tripod up --root /tmp/node &\n  kubectl --kubeconfig /tmp/node/kubeconfig get nodes -o wide",
    )
    .action((options: UpOptions) => up(options));
}
