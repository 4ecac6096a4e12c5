import { Backoff } from "@tripod/base";

/** When drivers are to be asked again after what they have not finished; the waits grow. */
export class PollDelays {
  readonly #waits = new Map<string, { readonly backoff: Backoff; dueAtMs: number }>();

  /** Milliseconds until it is time to ask; 0 when it is, or when nothing is being waited for. */
  left(key: string): number {
    return Math.max(0, (this.#waits.get(key)?.dueAtMs ?? 0) - performance.now());
  }

  /** It was asked after, and is not finished: begins the next wait, and returns it in milliseconds. */
  next(key: string): number {
    const wait = this.#waits.get(key) ?? { backoff: new Backoff({ initialMs: 500, maxMs: 30_000 }), dueAtMs: 0 };
    this.#waits.set(key, wait);
    const delayMs = wait.backoff.next();
    wait.dueAtMs = performance.now() + delayMs;
    return delayMs;
  }

  forget(key: string): void {
    this.#waits.delete(key);
  }
}
