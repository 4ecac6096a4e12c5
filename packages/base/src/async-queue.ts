import { TripodError } from "./error.ts";

/** An unbounded-by-default queue that is read with `for await`; ends after close(), throws after fail(). One reader. */
export class AsyncQueue<T> implements AsyncIterable<T> {
  readonly #limit: number;
  readonly #items: T[] = [];
  #wake: (() => void) | undefined;
  #end: { error?: unknown } | undefined;

  /** `limit`: the most items that may wait; one more fails the queue with "exhausted". */
  constructor(limit = Number.POSITIVE_INFINITY) {
    this.#limit = limit;
  }

  get closed(): boolean {
    return this.#end !== undefined;
  }

  /** How many items wait to be read. */
  get length(): number {
    return this.#items.length;
  }

  push(item: T): void {
    if (this.#end !== undefined) return;
    if (this.#items.length >= this.#limit) {
      this.fail(new TripodError("exhausted", `queue: reader is ${this.#limit} items behind`));
      return;
    }
    this.#items.push(item);
    this.#wake?.();
  }

  close(): void {
    this.#end ??= {};
    this.#wake?.();
  }

  fail(error: unknown): void {
    this.#end ??= { error };
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    try {
      for (;;) {
        while (this.#items.length > 0) {
          // The length was checked on the line above.
          yield this.#items.shift() as T;
        }
        if (this.#end !== undefined) {
          if ("error" in this.#end) throw this.#end.error;
          return;
        }
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
      }
    } finally {
      this.close();
    }
  }
}
