import { KeyedMutex } from "@tripod/base";

/**
 * Who may run when: operations on one container one after another, those on different ones side by side, and a collection of
 * garbage alone, because it would take an attachment in the making for one that nobody wants (spec: GC).
 */
export class AttachmentGate {
  readonly #containers = new KeyedMutex();
  #running = 0;
  #idle: (() => void) | undefined;
  #collection: Promise<void> = Promise.resolve();

  async one<T>(containerId: string, work: () => Promise<T>): Promise<T> {
    // Passing the gate and counting oneself is one synchronous step after the last wait.
    for (let seen: Promise<void> | undefined; seen !== this.#collection; ) {
      seen = this.#collection;
      await seen;
    }
    this.#running += 1;
    try {
      return await this.#containers.run(containerId, work);
    } finally {
      this.#running -= 1;
      if (this.#running === 0) this.#idle?.();
    }
  }

  async alone<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#collection;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#collection = promise;
    try {
      await before;
      if (this.#running > 0) {
        await new Promise<void>((wake) => {
          this.#idle = wake;
        });
        this.#idle = undefined;
      }
      return await work();
    } finally {
      resolve();
    }
  }
}
