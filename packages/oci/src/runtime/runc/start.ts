import { constants, existsSync, openSync, readlinkSync, readSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as nextTurn, setTimeout } from "node:timers/promises";
import { isNodeError, messageOf, runCommand, TripodError } from "@tripod/base";
import { processIsRunning, streamOfFd, waitForExit } from "@tripod/linux";
import { withSpan } from "@tripod/trace";
import { type Dialect, globalArguments, type RuntimeProgram } from "./runtime-program.ts";

/** Where a created container's first process waits: it cannot open the fifo for writing before somebody reads it. */
export const startFifo = (rootDir: string, id: string): string => join(rootDir, id, "exec.fifo");

/** Whether the fifo's byte is there, unread. */
function holdsByte(fd: number): boolean {
  try {
    return readSync(fd, Buffer.alloc(1)) === 1;
  } catch (error) {
    if (isNodeError(error, "EAGAIN")) return false;
    throw error;
  }
}

/** What the process executes; undefined when it has ended. */
export function executableOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return undefined;
  }
}

/** The runtime closes the fifo some 0.2 ms before its execve; one from a slow disk is not waited for any longer than this. */
const execveLimitMs = 200;

/** Resolves once the process no longer executes `runtime`. There is no event to wait for: an execve tells nobody. */
export async function waitForExecve(pid: number, runtime: string | undefined): Promise<void> {
  const limit = performance.now() + execveLimitMs;
  while (runtime !== undefined && executableOf(pid) === runtime && performance.now() < limit) await setTimeout(1);
}

/**
 * Lets the program run, as `runc start` does and without a process for it: reading the fifo's one byte releases the first process,
 * then the fifo is removed, by which runc tells "running" from "created". Resolves once the program itself runs, so that a signal
 * sent from then on is the program's and not the runtime's; rejects when the first process has died before.
 */
export function startThroughFifo(rootDir: string, id: string, pid: number): Promise<void> {
  return withSpan("runc start", { "container.id": id }, async () => {
    const fifo = startFifo(rootDir, id);
    if (!existsSync(fifo)) {
      throw new TripodError("failed-precondition", `start container ${id}: it is not waiting to be started`);
    }
    const waiting = new AbortController();
    const runtime = executableOf(pid);
    // Opening does not wait for the writer; the end is told only once there has been one.
    const fd = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
    const stream = streamOfFd(fd);
    try {
      let arrived = false;
      const byteArrived = (): void => {
        arrived = true;
        rmSync(fifo, { force: true });
      };
      const hasDied = (): TripodError =>
        new TripodError("failed-precondition", `start container ${id}: its first process ${pid} has died`);
      const runs = new Promise<void>((resolve, reject) => {
        stream.once("error", reject);
        stream.once("data", byteArrived);
        // The writing end is closed by the execve, if not a little before.
        stream.once("end", () => (arrived ? resolve() : reject(hasDied())));
      });
      const died = waitForExit(pid, { signal: waiting.signal }).then(async () => {
        // A program such as `true` has often ended before its byte is looked at: it was started all the same. The byte may be in
        // the stream's hands already, which tells of it within this turn of the event loop.
        await nextTurn();
        if (arrived) return;
        if (!holdsByte(fd)) throw hasDied();
        byteArrived();
      });
      runs.catch(() => {}); // the race's other end decides
      died.catch(() => {});
      await Promise.race([runs, died]);
      await waitForExecve(pid, runtime);
    } finally {
      waiting.abort();
      stream.destroy();
    }
  });
}

/** Lets the program run as every OCI runtime can; the same promise, at the price of a process. */
export function startByCommand(
  id: string,
  pid: number,
  { program, dialect }: { readonly program: RuntimeProgram; readonly dialect: Dialect },
): Promise<void> {
  return withSpan("runtime start", { "container.id": id, runtime: program.runtime }, async () => {
    const before = dialect.hasKernelOfItsOwn ? undefined : executableOf(pid);
    try {
      await runCommand(program.runtime, [...globalArguments(program), "start", id]);
    } catch (cause) {
      if (processIsRunning(pid)) throw cause;
      throw new TripodError(
        "failed-precondition",
        `start container ${id}: its first process ${pid} has died (${messageOf(cause)})`,
        { cause },
      );
    }
    await waitForExecve(pid, before);
  });
}
