import { codeOf, type Logger, messageOf, TaskOwner } from "@tripod/base";

export interface WorkQueueOptions {
  readonly name: string;
  readonly log: Logger;
  /** How many keys are worked on at once; 4 unless told. */
  readonly concurrency?: number;
  /** The wait after a key's first failure, doubled after each further one; 50 unless told. */
  readonly firstDelayMs?: number;
  /** 60,000 unless told. */
  readonly longestDelayMs?: number;
}

/**
 * Brings keys to the state that they should be in. A key is worked on by one worker at a time; added again meanwhile it is worked on
 * once more; a failure puts it back after a delay of its own. So the work must look at the present state, not at what happened.
 */
export class WorkQueue implements AsyncDisposable {
  readonly #options: WorkQueueOptions;
  readonly #work: (key: string, signal: AbortSignal) => Promise<void>;
  readonly #owner: TaskOwner;
  readonly #waiting = new Set<string>();
  /** Keys being worked on; true: to be worked on again. */
  readonly #running = new Map<string, boolean>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #failures = new Map<string, number>();
  #idle: (() => void)[] = [];

  constructor(options: WorkQueueOptions, work: (key: string, signal: AbortSignal) => Promise<void>) {
    this.#options = options;
    this.#work = work;
    this.#owner = new TaskOwner(options.name, options.log);
  }

  /** Asks for work on `key` now, whatever delay it was waiting for. */
  add(key: string): void {
    if (this.#owner.signal.aborted) return;
    clearTimeout(this.#timers.get(key));
    this.#timers.delete(key);
    if (this.#running.has(key)) this.#running.set(key, true);
    else this.#waiting.add(key);
    this.#dispatch();
  }

  /** Asks for work on `key` after a while, unless it is asked for earlier. */
  addAfter(key: string, delayMs: number): void {
    if (this.#owner.signal.aborted || this.#waiting.has(key)) return;
    clearTimeout(this.#timers.get(key));
    this.#timers.set(
      key,
      setTimeout(() => this.add(key), delayMs),
    );
  }

  /** How often in a row work on `key` has failed. */
  failuresOf(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  /** Resolves when no key waits or is worked on; delayed ones do not count. */
  async idle(): Promise<void> {
    if (this.#waiting.size === 0 && this.#running.size === 0) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  async close(): Promise<void> {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#waiting.clear();
    await this.#owner.stop();
    this.#wakeIdle();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #dispatch(): void {
    for (const key of this.#waiting) {
      if (this.#running.size >= (this.#options.concurrency ?? 4)) return;
      this.#waiting.delete(key);
      this.#running.set(key, false);
      this.#owner.run(key, (signal) => this.#process(key, signal));
    }
  }

  async #process(key: string, signal: AbortSignal): Promise<void> {
    let delayMs: number | undefined;
    try {
      await this.#work(key, signal);
      this.#failures.delete(key);
    } catch (error) {
      if (!signal.aborted) delayMs = this.#failed(key, error);
    } finally {
      const again = this.#running.get(key) === true;
      this.#running.delete(key);
      if (!signal.aborted) {
        if (delayMs !== undefined) this.addAfter(key, delayMs);
        else if (again) this.#waiting.add(key);
        this.#dispatch();
      }
      if (this.#waiting.size === 0 && this.#running.size === 0) this.#wakeIdle();
    }
  }

  #failed(key: string, error: unknown): number {
    const failures = this.failuresOf(key) + 1;
    this.#failures.set(key, failures);
    const { firstDelayMs = 50, longestDelayMs = 60_000 } = this.#options;
    const delayMs = Math.min(longestDelayMs, firstDelayMs * 2 ** Math.min(30, failures - 1));
    const fields = { queue: this.#options.name, key, failures, delayMs, error: messageOf(error) };
    // Somebody else changed the object first: an ordinary thing, answered by looking again.
    if (codeOf(error) === "conflict") this.#options.log.debug(fields, "conflict, trying again");
    else this.#options.log.warn(fields, "work failed, trying again");
    return delayMs;
  }

  #wakeIdle(): void {
    const waiting = this.#idle;
    this.#idle = [];
    for (const wake of waiting) wake();
  }
}
