import { setTimeout as delay } from "node:timers/promises";
import { Backoff, KeyedMutex, TripodError } from "@tripod/base";
import { FileLock } from "@tripod/linux";

/** Another program that holds a lock longer than this is taken to hang. */
const timeoutMs = 30_000;

const inThisProcess = new KeyedMutex();

/**
 * Runs `work` while holding flock(2) on `path` (made when absent), exclusively, against other programs and other calls in this
 * process alike. `readOnly` is for what cannot be opened for writing. A crash gives the lock back. "unavailable" after 30 s.
 */
export function withFileLock<T>(
  path: string,
  options: { readonly readOnly?: boolean; readonly signal?: AbortSignal | undefined },
  work: () => Promise<T> | T,
): Promise<T> {
  return inThisProcess.run(path, async () => {
    using _held = await acquire(path, options);
    return await work();
  });
}

async function acquire(
  path: string,
  { readOnly = false, signal }: { readonly readOnly?: boolean; readonly signal?: AbortSignal | undefined },
): Promise<FileLock> {
  const backoff = new Backoff({ initialMs: 1, maxMs: 20 });
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const lock = FileLock.tryAcquire(path, { readOnly });
    if (lock !== undefined) return lock;
    if (Date.now() > deadline) {
      throw new TripodError(
        "unavailable",
        `lock ${path}: another program has held it for ${timeoutMs / 1000} s; end that program`,
      );
    }
    // There is no event for a lock that becomes free.
    await delay(backoff.next(), undefined, { signal });
  }
}
