import { createLogger, TripodError } from "@tripod/base";
import { serveDriver } from "@tripod/csi";
import { isRoot } from "@tripod/linux";
import { Command } from "commander";

interface ServeOptions {
  readonly endpoint: string;
  readonly nodeId: string;
  readonly state: string;
  readonly registrationDir?: string;
  readonly attach?: true;
  readonly exitWithParent?: true;
}

/** `tripod csi serve hostpath`: one driver in a process of its own, until SIGTERM or SIGINT. */
export function serveCommand(): Command {
  return new Command("serve")
    .description("Serve a CSI driver on a socket, until SIGTERM")
    .argument("<driver>", "hostpath: volumes are folders of this node")
    .requiredOption("--endpoint <endpoint>", "the driver's socket, as in unix:///run/csi.sock")
    .requiredOption("--node-id <name>", "this node's name")
    .requiredOption("--state <dir>", "where volumes and records live")
    .option("--registration-dir <dir>", "the kubelet's plugins_registry, to register the driver there")
    .option("--attach", "volumes must be attached before use")
    .option("--exit-with-parent", "end when standard input is closed")
    .addHelpText(
      "after",
      "\nExample:\n  tripod csi serve hostpath --endpoint unix:///run/hostpath.sock --node-id $(hostname) --state /var/lib/hostpath \\\n    --registration-dir /var/lib/kubelet/plugins_registry",
    )
    .action(serve);
}

async function serve(name: string, options: ServeOptions): Promise<void> {
  if (name !== "hostpath") throw new TripodError("invalid", `serve CSI driver ${name}: unknown; known: hostpath`);
  if (!isRoot())
    throw new TripodError("permission-denied", `serve CSI driver ${name}: mounts need root; run it as root`);
  const { openHostpathDriver } = await import("@tripod/driver-hostpath");
  const log = createLogger("csi-hostpath");
  const stop = untilStopped(options.exitWithParent === true);
  using opened = await openHostpathDriver({
    stateDir: options.state,
    nodeId: options.nodeId,
    attach: options.attach === true,
  });
  await using served = await serveDriver({
    endpoint: options.endpoint,
    driver: opened.driver,
    ...(options.registrationDir === undefined ? {} : { registrationDir: options.registrationDir }),
    log,
  });
  log.info({ driver: opened.driver.name, socket: served.socket }, "CSI driver is ready");
  log.info({ reason: await stop }, "CSI driver ends");
  process.stdin.destroy(); // an open pipe from a living parent would keep this process
}

/** Resolves with the reason to end. Listens from the first moment on, so that no signal is lost while the driver starts. */
function untilStopped(exitWithParent: boolean): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal));
    if (!exitWithParent) return;
    process.stdin.once("close", () => resolve("the parent is gone"));
    process.stdin.once("end", () => resolve("the parent is gone"));
    process.stdin.on("error", () => resolve("the parent is gone"));
    process.stdin.resume();
  });
}
