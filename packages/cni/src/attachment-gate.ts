import { KeyedMutex } from "@tripod/base";

/**
 * Who may run when: operations on one container one after another, those on different ones side by side, and a collection of
 * garbage alone, because it would take an attachment in the making for one that nobody wants (spec: GC).
 */
export class AttachmentGate {
  readonly #containers = new KeyedMutex();
  #running = 0;
  #idle: (() => void) | undefined;
  /** Of the collection that runs or waits to. */
  #collection: Promise<void> | undefined;

  async one<T>(containerId: string, work: () => Promise<T>): Promise<T> {
    // Between the last look and counting oneself in nothing else runs.
    while (this.#collection !== undefined) await this.#collection;
    this.#running += 1;
    try {
      return await this.#containers.run(containerId, work);
    } finally {
      this.#running -= 1;
      if (this.#running === 0) this.#idle?.();
    }
  }

  async alone<T>(work: () => Promise<T>): Promise<T> {
    while (this.#collection !== undefined) await this.#collection;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#collection = promise;
    try {
      if (this.#running > 0) {
        await new Promise<void>((wake) => {
          this.#idle = wake;
        });
        this.#idle = undefined;
      }
      return await work();
    } finally {
      this.#collection = undefined;
      resolve();
    }
  }
}
