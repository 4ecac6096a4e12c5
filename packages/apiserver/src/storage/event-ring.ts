import type { StorageEvent } from "./storage.ts";

/** The most recent events, oldest dropped first. Revisions are consecutive: one event each. */
export class EventRing {
  readonly #capacity: number;
  readonly #events: StorageEvent[] = [];
  /** Events before this index are dropped at the next tidying. */
  #start = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  push(event: StorageEvent): void {
    this.#events.push(event);
    if (this.#events.length - this.#start > this.#capacity) this.#start += 1;
    // Moved in large steps, so that a push costs a constant time on average.
    if (this.#start >= this.#capacity) {
      this.#events.splice(0, this.#start);
      this.#start = 0;
    }
  }

  /** Every event after `revision`, in order; undefined when some of them are not here any more. */
  since(revision: number): readonly StorageEvent[] | undefined {
    const first = this.#events[this.#start];
    if (first === undefined || revision < first.revision - 1) return undefined;
    return this.#events.slice(this.#start + (revision - first.revision + 1));
  }
}
