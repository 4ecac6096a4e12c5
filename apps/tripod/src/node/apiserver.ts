import { join } from "node:path";
import { startApiServer } from "@tripod/apiserver";
import { createLogger, layoutOf } from "@tripod/base";
import { Command } from "commander";
import { loadConfig } from "./config.ts";
import { chooseApiserverPort } from "./free-port.ts";
import { parsePort } from "./node-options.ts";
import { defaultNodeName, enterInstance, requireRoot, untilSignalled } from "./node-process.ts";

interface ApiserverOptions {
  readonly root?: string;
  readonly port?: number;
}

async function apiserver(options: ApiserverOptions): Promise<void> {
  requireRoot();
  const layout = layoutOf(options.root);
  await using stack = new AsyncDisposableStack();
  enterInstance(layout, stack);
  const config = loadConfig(layout);
  const log = createLogger("tripod", { level: config.logLevel, file: join(layout.libDir, "log/apiserver.log") });
  const port = await chooseApiserverPort(layout, options.port ?? config.apiserver.port);
  const server = await startApiServer({
    layout,
    address: "127.0.0.1",
    port,
    nodeName: config.nodeName ?? defaultNodeName(),
    log,
  });
  stack.defer(() => server.close());
  process.stdout.write(`tripod: API server ready on ${server.url}\nexport KUBECONFIG=${layout.kubeconfig}\n`);
  await untilSignalled(log);
}

/** `tripod apiserver`. */
export function apiserverCommand(): Command {
  return new Command("apiserver")
    .description("Run the API server alone")
    .option("--root <dir>", "put everything under this folder")
    .option("--port <port>", "port on 127.0.0.1 (default: the last one, else 6443, else a free one)", parsePort)
    .addHelpText(
      "after",
      "\nExample:\n  tripod apiserver --root /tmp/api & kubectl --kubeconfig /tmp/api/kubeconfig api-resources",
    )
    .action((options: ApiserverOptions) => apiserver(options));
}
