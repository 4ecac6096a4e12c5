import { setTimeout as delay } from "node:timers/promises";

/** Knows whether somebody is waiting for something, and since when nobody is. */
export class Demand {
  #waiting = 0;
  #lastMs = performance.now();

  /** Somebody waits for `work`. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#waiting += 1;
    try {
      return await work();
    } finally {
      this.#waiting -= 1;
      this.#lastMs = performance.now();
    }
  }

  /** Settles once nobody has waited for `quietMs`, but `withinMs` from now or when the signal aborts at the latest. */
  async quiet({
    quietMs,
    withinMs,
    signal,
  }: {
    quietMs: number;
    withinMs: number;
    signal: AbortSignal;
  }): Promise<void> {
    const endMs = performance.now() + withinMs;
    for (;;) {
      const nowMs = performance.now();
      const restMs = this.#waiting > 0 ? quietMs : this.#lastMs + quietMs - nowMs;
      if (restMs <= 0 || nowMs >= endMs || signal.aborted) return;
      await delay(Math.min(restMs, endMs - nowMs), undefined, { signal }).catch(() => undefined);
    }
  }
}
