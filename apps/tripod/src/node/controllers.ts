import { join } from "node:path";
import { createLogger, layoutOf } from "@tripod/base";
import { startControllers } from "@tripod/controllers";
import { Command } from "commander";
import { loadConfig } from "./config.ts";
import { defaultStandIns } from "./driver-processes.ts";
import { enterInstance, requireRoot, untilSignalled } from "./node-process.ts";

interface ControllersOptions {
  readonly root?: string;
  readonly kubeconfig?: string;
}

async function controllers(options: ControllersOptions): Promise<void> {
  requireRoot();
  const layout = layoutOf(options.root);
  await using stack = new AsyncDisposableStack();
  enterInstance(layout, stack);
  const config = loadConfig(layout);
  const log = createLogger("tripod", {
    level: config.logLevel,
    file: join(layout.libDir, "log/controllers.log"),
  });
  const kubeconfig = options.kubeconfig ?? join(layout.pkiDir, "controllers.kubeconfig");
  const running = await startControllers({
    kubeconfig,
    pluginsRegistryDir: layout.pluginsRegistryDir,
    log,
    standIns: config.storage.standIns ?? defaultStandIns,
  });
  stack.defer(() => running.close());
  process.stdout.write(`tripod: controllers ready, with ${kubeconfig}\n`);
  await untilSignalled(log);
}

/** `tripod controllers`. */
export function controllersCommand(): Command {
  return new Command("controllers")
    .description("Run the scheduler and the controllers alone")
    .option("--root <dir>", "put everything under this folder")
    .option("--kubeconfig <file>", "the API server to work for (default: this instance's own)")
    .addHelpText(
      "after",
      "\nExample:\n  tripod controllers --root /tmp/ctl --kubeconfig /tmp/api/lib/pki/controllers.kubeconfig",
    )
    .action((options: ControllersOptions) => controllers(options));
}
