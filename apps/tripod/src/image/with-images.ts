import { createLogger, isTripodError, layoutOf, TripodError } from "@tripod/base";
import { Images, type ImagesOptions } from "@tripod/oci";

/** What every image command takes. */
export interface StoreOptions {
  readonly root?: string;
  readonly json?: true;
}

/**
 * Opens the instance's image store, with or without a daemon at work on it: both read the same records and hold what they use by
 * leases. Ctrl-C cancels; what was fetched so far is kept for the next attempt.
 */
export async function withImages<T>(
  options: StoreOptions,
  work: (images: Images, signal: AbortSignal) => Promise<T>,
  opening: Pick<ImagesOptions, "keepDamaged"> = {},
): Promise<T> {
  if (process.geteuid?.() !== 0) {
    throw new TripodError("permission-denied", "open the image store: only root can unpack images; run it with sudo");
  }
  const abort = new AbortController();
  const cancel = (): void => abort.abort(new TripodError("cancelled", "cancelled"));
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, cancel);
  try {
    const log = createLogger("image", { level: "warn" });
    await using images = await Images.open({ layout: layoutOf(options.root), log, ...opening });
    return await work(images, abort.signal);
  } catch (error) {
    if (!abort.signal.aborted || isTripodError(error, "cancelled")) throw error;
    throw new TripodError("cancelled", "cancelled; what was fetched so far is kept for the next attempt", {
      cause: error,
    });
  } finally {
    for (const name of ["SIGINT", "SIGTERM"] as const) process.removeListener(name, cancel);
  }
}

/** One JSON document on stdout. */
export function printJson(value: unknown, out: NodeJS.WriteStream = process.stdout): void {
  out.write(`${JSON.stringify(value, null, 2)}\n`);
}
