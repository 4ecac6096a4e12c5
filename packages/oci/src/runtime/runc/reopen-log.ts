import { readdirSync, readFileSync, statSync, watch } from "node:fs";
import { dirname, join } from "node:path";
import { isNodeError, messageOf, TripodError } from "@tripod/base";
import { control } from "./control.ts";

/** The supervisor has nothing else to do than to read its fifo. */
const reopenTimeoutMs = 10_000;

const inodeOf = (path: string): bigint | undefined => statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;

/** Whether the file at `logPath` is the one that the supervisor writes. */
function isWritten(bundle: string, logPath: string): boolean {
  const file = statSync(logPath, { bigint: true, throwIfNoEntry: false });
  if (file === undefined) return false;
  const fds = `/proc/${readFileSync(join(bundle, "conmon.pid"), "utf8").trim()}/fd`;
  try {
    return readdirSync(fds).some((fd) => {
      const open = statSync(join(fds, fd), { bigint: true, throwIfNoEntry: false });
      return open?.ino === file.ino && open.dev === file.dev;
    });
  } catch (error) {
    if (isNodeError(error, "ENOENT", "ESRCH")) return false; // it is gone; asking it says so
    throw error;
  }
}

/**
 * Has the supervisor go on with a new file at `logPath`, which it writes beside the old one and renames, and resolves once that is there:
 * from then on no line goes to the old file. A log that nobody has moved stays as it is, for the new file would take its place. "failed-precondition" without a supervisor or a folder, "timeout" when it does not answer.
 */
export async function reopenLog(bundle: string, logPath: string): Promise<void> {
  if (isWritten(bundle, logPath)) return;
  const before = inodeOf(logPath);
  const isReopened = (): boolean => {
    const now = inodeOf(logPath);
    return now !== undefined && now !== before;
  };
  const { promise: reopened, resolve, reject } = Promise.withResolvers<void>();
  const late = new TripodError(
    "timeout",
    `reopen log ${logPath}: the supervisor did not do it in ${reopenTimeoutMs} ms`,
  );
  const timer = setTimeout(() => reject(late), reopenTimeoutMs);
  using owned = new DisposableStack();
  owned.defer(() => clearTimeout(timer));
  try {
    const watcher = watch(dirname(logPath), () => {
      if (isReopened()) resolve();
    });
    owned.defer(() => watcher.close());
    watcher.once("error", reject);
  } catch (cause) {
    throw new TripodError("failed-precondition", `reopen log ${logPath}: ${messageOf(cause)}`, { cause });
  }
  control(bundle, "2 0 0\n"); // conmon's message type 2
  await reopened;
}
