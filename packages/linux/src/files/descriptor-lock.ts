import { spawn } from "node:child_process";
import { once } from "node:events";
import { TripodError } from "@tripod/base";
import { libc } from "../libc.ts";
import { check, isErrno } from "../system-call-error.ts";

const LOCK_EX = 2;
const LOCK_NB = 4;

/** Takes flock(2)'s exclusive lock on an open file without waiting; it goes with the descriptor. False when another holds it. */
export function tryLockDescriptor(fd: number): boolean {
  try {
    check("flock", `descriptor ${fd}`, libc.flock(fd, LOCK_EX | LOCK_NB));
    return true;
  } catch (error) {
    if (isErrno(error, "EAGAIN", "EWOULDBLOCK")) return false;
    throw error;
  }
}

/**
 * Takes the lock, waiting for it as long as another holds it. The wait is flock(1)'s, of util-linux, on the same open file: a thread that
 * waited in the kernel could not be called back.
 */
export async function lockDescriptor(fd: number, { signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
  signal?.throwIfAborted();
  if (tryLockDescriptor(fd)) return;
  const child = spawn("flock", ["--exclusive", "3"], {
    stdio: ["ignore", "ignore", "ignore", fd],
    ...(signal !== undefined && { signal, killSignal: "SIGKILL" }),
  });
  // Rejects when there is no such program, and when the signal aborts; then the child must be gone before the caller closes the file.
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  try {
    const [code] = await once(child, "exit");
    if (code !== 0)
      throw new TripodError("internal", `wait for the lock on descriptor ${fd}: flock ended with ${code}`);
  } catch (error) {
    signal?.throwIfAborted();
    if (child.pid !== undefined) throw error;
    throw new TripodError("failed-precondition", "wait for a lock: there is no program flock; install util-linux", {
      cause: error,
    });
  } finally {
    if (child.pid !== undefined) await closed;
  }
}
