import { existsSync, mkdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { createLogger, isNodeError, TripodError } from "@tripod/base";
import { type Driver, serveDriver } from "@tripod/csi";
import { FileLock, isRoot } from "@tripod/linux";
import { Argument, Command } from "commander";

interface ServeOptions {
  readonly endpoint: string;
  readonly nodeId: string;
  readonly state: string;
  readonly registrationDir?: string;
  readonly attach?: true;
  readonly exitWithParent?: true;
}

interface ServableDriver {
  readonly summary: string;
  /** Opens it, and finishes what a crash of an earlier run cut short. */
  readonly open: (options: ServeOptions) => Promise<Disposable & { readonly driver: Driver }>;
}

const stateOf = ({ state, nodeId, attach }: ServeOptions) => ({ stateDir: state, nodeId, attach: attach === true });

/** Loaded when asked for: a driver's process holds its own code alone. */
const drivers: Readonly<Record<string, ServableDriver>> = {
  hostpath: {
    summary: "volumes are folders of this node",
    open: async (options) => (await import("@tripod/driver-hostpath")).openHostpathDriver(stateOf(options)),
  },
  loop: {
    summary: "volumes are files of this node with a file system on a loop device: their size is a limit",
    open: async (options) => (await import("@tripod/driver-loop")).openLoopDriver(stateOf(options)),
  },
  nfs: {
    summary: "volumes are folders of NFS shares, for Pods of many nodes at a time",
    open: async (options) => (await import("@tripod/driver-nfs")).openNfsDriver(stateOf(options)),
  },
};

/** `tripod csi serve DRIVER`: one driver in a process of its own, until SIGTERM or SIGINT. */
export function serveCommand(): Command {
  return new Command("serve")
    .description("Serve a CSI driver on a socket, until SIGTERM")
    .addArgument(
      new Argument(
        "<driver>",
        Object.entries(drivers)
          .map(([name, { summary }]) => `${name}: ${summary}`)
          .join("; "),
      ).choices(Object.keys(drivers)),
    )
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
  const known = drivers[name];
  if (known === undefined)
    throw new TripodError("invalid", `serve CSI driver ${name}: unknown; known: ${Object.keys(drivers).join(", ")}`);
  if (!isRoot())
    throw new TripodError("permission-denied", `serve CSI driver ${name}: mounts need root; run it as root`);
  const log = createLogger(`csi-${name}`);
  const stop = untilStopped(options.exitWithParent === true);
  using _state = takeState(options.state);
  using opened = await known.open(options);
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

/** The state folder, made when absent, for this process alone: what two would make and repair there is each other's. */
function takeState(dir: string): FileLock {
  makeFolder(dir);
  const lock = FileLock.tryAcquire(join(dir, "driver.lock"));
  if (lock !== undefined) return lock;
  throw new TripodError(
    "failed-precondition",
    `state folder ${dir}: another driver process serves it; end that first, or give this one another --state`,
  );
}

/** As mkdir -p. Node's own never ends where the kernel makes no folders, as below /proc. */
function makeFolder(dir: string): void {
  if (existsSync(dir)) return;
  makeFolder(dirname(resolve(dir)));
  try {
    mkdirSync(dir, { mode: 0o700 });
  } catch (error) {
    if (!isNodeError(error, "EEXIST")) throw error;
  }
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
