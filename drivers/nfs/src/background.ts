import { TripodError } from "@tripod/base";
import type { Progress } from "./jobs/job.ts";

interface Running {
  readonly done: Promise<unknown>;
  readonly abort: AbortController;
  progress: Progress;
}

/** How long a caller waits for what takes long; it asks again after that. */
const waitMs = 20_000;

/**
 * Copies that may take longer than a caller waits: they go on, and whoever asks again waits for the same one. A failure is told once.
 */
export class Background implements Disposable {
  readonly #running = new Map<string, Running>();
  readonly #waitMs: number;

  constructor(options: { readonly waitMs?: number } = {}) {
    this.#waitMs = options.waitMs ?? waitMs;
  }

  /** Starts `work`, unless what has this key runs, and waits for its end, or for so long as callers do: then it is "aborted" and goes on. */
  async run(
    key: string,
    { what, signal }: { readonly what: string; readonly signal: AbortSignal },
    work: (signal: AbortSignal, onProgress: (progress: Progress) => void) => Promise<unknown>,
  ): Promise<void> {
    const running = this.#running.get(key) ?? this.#start(key, work);
    const { promise: over, resolve } = Promise.withResolvers<"over">();
    const timer = setTimeout(() => resolve("over"), this.#waitMs);
    const cancelled = (): void => resolve("over");
    signal.addEventListener("abort", cancelled, { once: true });
    try {
      if ((await Promise.race([running.done, over])) !== "over") return;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", cancelled);
    }
    const { files, bytes } = running.progress;
    throw new TripodError(
      "aborted",
      `${what}: ${files} files with ${bytes} bytes are copied so far; it goes on, ask again`,
    );
  }

  /** Ends what has this key, if it runs. */
  async cancel(key: string): Promise<void> {
    const running = this.#running.get(key);
    running?.abort.abort();
    await running?.done.catch(() => undefined);
  }

  [Symbol.dispose](): void {
    for (const { abort } of this.#running.values()) abort.abort();
  }

  #start(
    key: string,
    work: (signal: AbortSignal, onProgress: (progress: Progress) => void) => Promise<unknown>,
  ): Running {
    const abort = new AbortController();
    const running: Running = {
      done: work(abort.signal, (progress) => {
        running.progress = progress;
      }).finally(() => this.#running.delete(key)),
      abort,
      progress: { files: 0, bytes: 0 },
    };
    running.done.catch(() => undefined); // whoever waits is told
    this.#running.set(key, running);
    return running;
  }
}
