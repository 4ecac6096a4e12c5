import { join } from "node:path";
import { createLogger, layoutOf } from "@tripod/base";
import { Command } from "commander";
import { type Config, loadConfig } from "./config.ts";
import { followConfig } from "./follow-config.ts";
import { logLevelOption } from "./node-options.ts";
import { enterInstance, requireRoot, untilSignalled } from "./node-process.ts";
import { preparePodNetwork } from "./pod-network.ts";
import { releaseStartMemory } from "./release-start-memory.ts";
import { startRuntime } from "./runtime.ts";

interface CriOptions {
  readonly root?: string;
  readonly network: boolean;
  readonly logLevel?: Config["logLevel"];
}

async function cri(options: CriOptions): Promise<void> {
  requireRoot();
  const layout = layoutOf(options.root);
  await using stack = new AsyncDisposableStack();
  enterInstance(layout, stack);
  const config = loadConfig(layout);
  const log = createLogger("tripod", {
    level: options.logLevel ?? config.logLevel,
    file: join(layout.libDir, "log/cri.log"),
  });
  if (options.network) preparePodNetwork(layout, config.network.podCidr);
  const server = await startRuntime({ layout, log, config: config.cri }, stack);
  followConfig({ layout, log, config, cri: server, logLevel: options.logLevel }, stack);
  process.stdout.write(`tripod: CRI v1 ready on unix://${layout.criSocket}\n`);
  const stopped = untilSignalled(log);
  releaseStartMemory();
  await stopped;
}

/** `tripod cri`. */
export function criCommand(): Command {
  return new Command("cri")
    .description("Run the container runtime alone; any kubelet or crictl uses its socket")
    .option("--root <dir>", "put everything under this folder")
    .option("--no-network", "do not write a default CNI configuration into an empty folder")
    .addOption(logLevelOption())
    .addHelpText(
      "after",
      "\nExamples:\n  tripod cri --root /tmp/cri &\n  crictl --runtime-endpoint unix:///tmp/cri/run/tripod.sock info\n  kubelet --container-runtime-endpoint unix:///run/tripod/tripod.sock …",
    )
    .action((options: CriOptions) => cri(options));
}
