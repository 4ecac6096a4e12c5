/**
 * Work that is asked for again while it runs is not started again: whoever asks gets the first one's result. A caller whose deadline
 * passed and that repeats itself so finds its sandbox instead of a name that is taken.
 */
export class JoinedWork<T> {
  readonly #running = new Map<string, Promise<T>>();

  run(key: string, work: () => Promise<T>): Promise<T> {
    const running = this.#running.get(key);
    if (running !== undefined) return running;
    const promise = work().finally(() => this.#running.delete(key));
    this.#running.set(key, promise);
    return promise;
  }

  /** Waits until nothing runs any more. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running.values());
  }
}
