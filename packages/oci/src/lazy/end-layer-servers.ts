import { waitForExit } from "@tripod/linux";
import type { Store } from "../images/store.ts";

/** How long a process may take that has nothing to serve any more. */
const endWithinMs = 10_000;

/** Takes all layers away that are served, and ends the processes that serve them. */
export async function endLayerServers({ snapshotter, log }: Store): Promise<void> {
  const owners = new Set(snapshotter.lazy.layers().map(({ owner }) => owner));
  snapshotter.lazy.release(() => false);
  for (const owner of owners) {
    const [pid = 0, startTime] = owner.split("-").map(Number);
    if (startTime === undefined) continue;
    try {
      await waitForExit(pid, { startTime, signal: AbortSignal.timeout(endWithinMs) });
    } catch (error) {
      if (!(error instanceof Error) || !/Timeout|Abort/.test(error.name)) throw error;
      log.warn({ pid }, "a layer server whose layers are still in use is ended");
      process.kill(pid, "SIGKILL");
      await waitForExit(pid, { startTime });
    }
  }
  snapshotter.lazy.sweep();
}
