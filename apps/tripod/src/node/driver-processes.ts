import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { inTreePlugins } from "@tripod/csi/migration";
import { Backoff, type Layout, type Logger, TaskOwner } from "@tripod/base";

/** The CSI drivers that a node brings along, by the word that `tripod csi serve` knows them by. */
export const ownDrivers = { hostpath: "hostpath.csi.tripod.dev", loop: "loop.csi.tripod.dev" } as const;

/** Who stands in for the drivers of clouds, on a node that is in none. */
export const defaultStandIns: Readonly<Record<string, string>> = Object.fromEntries(
  inTreePlugins.map(({ driver }) => [driver, ownDrivers.loop]),
);

export interface DriverProcessOptions {
  readonly layout: Layout;
  readonly nodeName: string;
  readonly log: Logger;
}

/** How long a driver may take to end before it is killed, in milliseconds. */
const stopWithinMs = 5_000;

/** How long a driver must live for its next restart to be immediate again, in milliseconds. */
const settledMs = 60_000;

/**
 * Runs the node's own CSI drivers, each as a process of its own, as any third-party driver would be: they register themselves over the
 * kubelet's plugin folder. They end with us (their standard input closes) and are started again when they die.
 */
export function superviseDrivers(options: DriverProcessOptions): AsyncDisposable {
  const stack = new AsyncDisposableStack();
  for (const [word, name] of Object.entries(ownDrivers)) stack.use(superviseDriver(word, name, options));
  return stack;
}

function superviseDriver(word: string, name: string, options: DriverProcessOptions): AsyncDisposable {
  const { layout, nodeName, log } = options;
  const pluginDir = join(layout.kubeletDir, "plugins", name);
  const stateDir = join(layout.csiStateDir, name);
  for (const dir of [pluginDir, stateDir, layout.pluginsRegistryDir]) mkdirSync(dir, { recursive: true, mode: 0o750 });
  const args = [
    process.argv[1] ?? "",
    "csi",
    "serve",
    word,
    `--endpoint=unix://${join(pluginDir, "csi.sock")}`,
    `--node-id=${nodeName}`,
    `--state=${stateDir}`,
    `--registration-dir=${layout.pluginsRegistryDir}`,
    "--exit-with-parent",
  ];
  const logDir = join(layout.libDir, "log");
  mkdirSync(logDir, { recursive: true });
  const output = openSync(join(logDir, `csi-${word}.log`), "a", 0o600);
  const owner = new TaskOwner(`csi-${word}`, log);
  owner.run("supervise", async (signal) => {
    const backoff = new Backoff({ initialMs: 200, maxMs: 10_000 });
    while (!signal.aborted) {
      const startedMs = performance.now();
      const child = spawn(process.execPath, [...process.execArgv, ...args], { stdio: ["pipe", "ignore", output] });
      let overdue: NodeJS.Timeout | undefined;
      const stop = (): void => {
        child.kill("SIGTERM");
        overdue = setTimeout(() => child.kill("SIGKILL"), stopWithinMs);
      };
      signal.addEventListener("abort", stop, { once: true });
      const exitCode = await new Promise<number | null>((resolve) => {
        child.once("exit", resolve);
        child.once("error", () => resolve(null));
      });
      signal.removeEventListener("abort", stop);
      clearTimeout(overdue);
      if (signal.aborted) return;
      if (performance.now() - startedMs > settledMs) backoff.reset();
      const delayMs = backoff.next();
      log.warn({ driver: name, exitCode, delayMs }, "CSI driver ended; starting it again");
      await delay(delayMs, undefined, { signal });
    }
  });
  return {
    async [Symbol.asyncDispose]() {
      await owner.stop();
      closeSync(output);
    },
  };
}
