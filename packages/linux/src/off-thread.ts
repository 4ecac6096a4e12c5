/** What koffi adds to each function that it binds. */
interface KoffiFunction {
  async(...argumentsAndCallback: readonly unknown[]): void;
}

/**
 * Calls a function of libc.ts on a thread of libuv's pool, for calls that keep the kernel busy for milliseconds. Only for what does
 * not depend on the calling thread, as its namespaces; errno is lost. Buffers given must not be touched until it has resolved.
 */
export const offThread = <A extends readonly unknown[]>(call: (...given: A) => number, ...given: A): Promise<number> =>
  new Promise((resolve, reject) => {
    // libc.ts declares C's signatures alone; every function of its table comes from koffi.
    (call as unknown as KoffiFunction).async(...given, (error: Error | null | undefined, result: number) => {
      if (error === null || error === undefined) resolve(result);
      else reject(error);
    });
  });
