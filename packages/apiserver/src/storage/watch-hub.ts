import { AsyncQueue } from "@tripod/base";
import type { StorageEvent, StorageWatch, WatchItem } from "./storage.ts";

interface Watcher {
  readonly prefix: string;
  readonly queue: AsyncQueue<WatchItem>;
}

export const keyOfEvent = (event: StorageEvent): string =>
  event.type === "put" ? event.current.key : event.previous.key;

/** Hands each event to the watchers whose prefix it is below. A watcher that is `backlog` events behind fails. */
export class WatchHub {
  readonly #watchers = new Set<Watcher>();
  readonly #backlog: number;
  readonly #revision: () => number;

  constructor(options: { readonly backlog: number; readonly revision: () => number }) {
    this.#backlog = options.backlog;
    this.#revision = options.revision;
  }

  /** A watch that begins with `past`, which must hold every event below `prefix` from where the watch starts until now. */
  add(prefix: string, past: readonly StorageEvent[]): StorageWatch {
    const watcher: Watcher = { prefix, queue: new AsyncQueue(this.#backlog + past.length) };
    const revision = this.#revision;
    const remove = (): void => {
      this.#watchers.delete(watcher);
      watcher.queue.close();
    };
    for (const event of past) watcher.queue.push(event);
    this.#watchers.add(watcher);
    return {
      requestBookmark: () => watcher.queue.push({ type: "bookmark", revision: revision() }),
      close: remove,
      async *[Symbol.asyncIterator]() {
        try {
          yield* watcher.queue;
        } finally {
          remove();
        }
      },
    };
  }

  publish(event: StorageEvent): void {
    const key = keyOfEvent(event);
    for (const watcher of this.#watchers) {
      if (!key.startsWith(watcher.prefix)) continue;
      watcher.queue.push(event);
      if (watcher.queue.closed) this.#watchers.delete(watcher);
    }
  }

  close(): void {
    for (const { queue } of this.#watchers) queue.close();
    this.#watchers.clear();
  }
}
