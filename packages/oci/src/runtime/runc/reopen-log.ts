import { statSync, watch } from "node:fs";
import { dirname } from "node:path";
import { messageOf, TripodError } from "@tripod/base";
import { control } from "./control.ts";

/** The supervisor has nothing else to do than to read its fifo. */
const reopenTimeoutMs = 10_000;

const inodeOf = (path: string): bigint | undefined => statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;

/**
 * Has the supervisor go on with a new file at `logPath`, which it writes beside the old one and renames, and resolves once that is there:
 * from then on no line goes to the old file. "failed-precondition" without a supervisor or a folder, "timeout" when it does not answer.
 */
export async function reopenLog(bundle: string, logPath: string): Promise<void> {
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
