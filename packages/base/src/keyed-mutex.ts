/** Runs work on one key strictly one after another, in the order asked; different keys run side by side. */
export class KeyedMutex {
  readonly #tails = new Map<string, Promise<void>>();

  /** How many keys have work running or waiting. */
  get size(): number {
    return this.#tails.size;
  }

  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const previous = this.#tails.get(key) ?? Promise.resolve();
    const { promise: tail, resolve } = Promise.withResolvers<void>();
    this.#tails.set(key, tail);
    await previous;
    try {
      return await work();
    } finally {
      resolve();
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    }
  }
}
