import { constants } from "node:os";
import { isNodeError, TripodError } from "@tripod/base";
import type { LowLevelRuntime } from "@tripod/oci";
import type { HandContainer, HandContainers } from "./hand-containers.ts";

const forwarded = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;

/** Sends a signal to the program; one that has just ended is no error. */
function tell(runtime: LowLevelRuntime, { id, pid = 0 }: HandContainer, signal: NodeJS.Signals): void {
  if (runtime.signal !== undefined) {
    runtime.signal(id, constants.signals[signal]).catch(() => {}); // whether it ended, the streams say
    return;
  }
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!isNodeError(error, "ESRCH")) throw error;
  }
}

/** The program's own streams are this process's until it ends; its exit code. Signals go to it, a terminal's keys and sizes too. */
export async function runAttached(
  containers: HandContainers,
  container: HandContainer,
  { terminal }: { readonly terminal: boolean },
): Promise<number> {
  const runtime = containers.runtimeOf(container.handler);
  const home = containers.home(container.id);
  using undo = new DisposableStack();
  for (const signal of forwarded) {
    const listener = (): void => tell(runtime, container, signal);
    process.on(signal, listener);
    undo.defer(() => process.removeListener(signal, listener));
  }
  if (terminal && process.stdout.isTTY) {
    const resize = (): void => runtime.resize(home, { width: process.stdout.columns, height: process.stdout.rows });
    resize();
    process.stdout.on("resize", resize);
    undo.defer(() => process.stdout.removeListener("resize", resize));
  }
  if (terminal && process.stdin.isTTY) {
    process.stdin.setRawMode(true);
    undo.defer(() => process.stdin.setRawMode(false));
  }
  // Joined before the program runs, so that none of its words is missed.
  const attached = runtime.attach(home, { stdin: process.stdin, stdout: process.stdout, stderr: process.stderr });
  attached.catch(() => {}); // heard below
  if (container.pid === undefined) throw new TripodError("internal", `container ${container.id} has no process`);
  await runtime.start(container.id, container.pid);
  await attached;
  return await containers.ended(container);
}
