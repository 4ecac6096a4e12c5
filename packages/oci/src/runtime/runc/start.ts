import { constants, existsSync, openSync, rmSync } from "node:fs";
import { once } from "node:events";
import { join } from "node:path";
import { TripodError } from "@tripod/base";
import { streamOfFd, waitForExit } from "@tripod/linux";
import { withSpan } from "@tripod/trace";

/** Where a created container's first process waits: it cannot open the fifo for writing before somebody reads it. */
export const startFifo = (rootDir: string, id: string): string => join(rootDir, id, "exec.fifo");

/**
 * Lets the program run, as `runc start` does and without a process for it: reading the fifo's one byte releases the first process,
 * then the fifo is removed, by which runc tells "running" from "created". Rejects when that process has died meanwhile.
 */
export function startThroughFifo(rootDir: string, id: string, pid: number): Promise<void> {
  return withSpan("runc start", { "container.id": id }, async () => {
    const fifo = startFifo(rootDir, id);
    if (!existsSync(fifo)) {
      throw new TripodError("failed-precondition", `start container ${id}: it is not waiting to be started`);
    }
    const waiting = new AbortController();
    // Open for both ways, so that neither a writer that is still to come nor one that is gone looks like the end.
    const stream = streamOfFd(openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK));
    try {
      const died = waitForExit(pid, { signal: waiting.signal }).then(() => {
        throw new TripodError("failed-precondition", `start container ${id}: its first process ${pid} has died`);
      });
      const released = once(stream, "data");
      released.catch(() => {}); // the race's other end decides
      died.catch(() => {});
      await Promise.race([released, died]);
      rmSync(fifo, { force: true });
    } finally {
      waiting.abort();
      stream.destroy();
    }
  });
}
