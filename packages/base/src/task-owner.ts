import { messageOf } from "./error.ts";
import type { Logger } from "./logger.ts";

/** Owns background work: every task gets the owner's signal, stop() aborts it and waits until all have ended. */
export class TaskOwner implements AsyncDisposable {
  readonly name: string;
  readonly #log: Logger;
  readonly #abort = new AbortController();
  readonly #running = new Set<Promise<void>>();

  constructor(name: string, log: Logger) {
    this.name = name;
    this.#log = log;
  }

  /** Aborted when the owner stops. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Starts `work`. Its failure is logged under `task`, unless the owner is being stopped. */
  run(task: string, work: (signal: AbortSignal) => Promise<void>): void {
    if (this.signal.aborted) return;
    const promise = (async () => {
      try {
        await work(this.signal);
      } catch (error) {
        if (!this.signal.aborted)
          this.#log.error({ owner: this.name, task, error: messageOf(error) }, "background task failed");
      }
    })();
    this.#running.add(promise);
    void promise.then(() => this.#running.delete(promise));
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
