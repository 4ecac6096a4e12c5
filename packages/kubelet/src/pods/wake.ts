/** A wake-up call that is not lost when nobody waits for it yet. One waiter. */
export class Wake {
  #asked = false;
  #resolve: (() => void) | undefined;

  /** Ends the present wait, or the next one at once. */
  call(): void {
    this.#asked = true;
    this.#resolve?.();
  }

  /** Waits for a call, at most until `delayMs` have passed (for ever without one) or the signal aborts. */
  async wait(delayMs: number | undefined, signal: AbortSignal): Promise<void> {
    if (!this.#asked && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          signal.removeEventListener("abort", done);
          resolve();
        };
        const timer = delayMs === undefined ? undefined : setTimeout(done, delayMs);
        signal.addEventListener("abort", done, { once: true });
        this.#resolve = done;
      });
      this.#resolve = undefined;
    }
    this.#asked = false;
  }
}
