/**
 * Keeps several callers from doing the same work side by side. The first to ask for a key does it, the others wait for its result;
 * when it fails or is cancelled, the next one does it itself: with its own credentials, and its own error.
 */
export class SharedWork<T> {
  readonly #running = new Map<string, Promise<{ readonly value: T } | undefined>>();

  async run(key: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    for (;;) {
      signal?.throwIfAborted();
      const running = this.#running.get(key);
      if (running === undefined) break;
      const found = await orAborted(running, signal);
      if (found !== undefined) return found.value;
    }
    const { promise, resolve } = Promise.withResolvers<{ readonly value: T } | undefined>();
    this.#running.set(key, promise);
    try {
      const value = await work();
      resolve({ value });
      return value;
    } finally {
      // Before the waiting ones wake, so that one of them can take over; after a success this second resolve() does nothing.
      this.#running.delete(key);
      resolve(undefined);
    }
  }
}

function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  return Promise.race([promise, aborted]).finally(() => signal.removeEventListener("abort", onAbort));
}
