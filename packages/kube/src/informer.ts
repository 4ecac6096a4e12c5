import { keyOf, type KubernetesObject, type Stored } from "@tripod/api/kubernetes";
import { codeOf, type Logger, messageOf, TaskOwner, TripodError } from "@tripod/base";
import { abortableDelay } from "./connection.ts";
import type { ListOf, ResourceClient } from "./resource-client.ts";
import type { ResourceRef } from "./resource-ref.ts";
import type { WatchEventOf } from "./watch-stream.ts";

/** What an informer reads from; a ResourceClient is one. */
export type InformerSource<T extends KubernetesObject> = Pick<ResourceClient<T>, "list" | "watch" | "ref">;

/** Told of changes, in order and one at a time, after the cache has them. Must not wait; a throw is logged. */
export interface InformerHandler<T> {
  added?(object: T): void;
  updated?(object: T, previous: T): void;
  /** With the last state that was seen. */
  deleted?(object: T): void;
}

export interface InformerOptions<T> {
  readonly log: Logger;
  /** All namespaces unless told. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Named indexes: each object is found under every value that the function returns. */
  readonly indexes?: Readonly<Record<string, (object: T) => readonly string[]>>;
  /** Drops what the owner does not need, before the object is kept, to save memory. */
  readonly trim?: (object: T) => T;
}

const pageSize = 500;
const firstDelayMs = 100;
const longestDelayMs = 10_000;

/**
 * A cache of one resource that follows the API server: a list, then a watch, again from the list when the server has forgotten the
 * version (410), and again and again through broken connections. Cached objects are shared: never change them.
 */
export class Informer<T extends KubernetesObject> implements AsyncDisposable {
  readonly #source: InformerSource<T>;
  readonly #options: InformerOptions<Stored<T>>;
  readonly #owner: TaskOwner;
  readonly #objects = new Map<string, Stored<T>>();
  readonly #indexes = new Map<string, Map<string, Set<string>>>();
  readonly #handlers = new Set<InformerHandler<Stored<T>>>();
  readonly #synced = Promise.withResolvers<void>();
  #isSynced = false;
  #resourceVersion = "";

  constructor(source: InformerSource<T>, options: InformerOptions<Stored<T>>) {
    this.#source = source;
    this.#options = options;
    this.#owner = new TaskOwner(`informer of ${source.ref.plural}`, options.log);
    for (const name of Object.keys(options.indexes ?? {})) this.#indexes.set(name, new Map());
    // Whoever does not wait for it must not be hurt by its failure.
    this.#synced.promise.catch(() => {});
  }

  /** What it follows. */
  get ref(): ResourceRef<T> {
    return this.#source.ref;
  }

  /** Starts following. */
  start(): this {
    this.#owner.run("follow", (signal) => this.#follow(signal));
    return this;
  }

  /** Resolves when the cache has held everything once; rejects when the informer is closed before. */
  get synced(): Promise<void> {
    return this.#synced.promise;
  }

  get isSynced(): boolean {
    return this.#isSynced;
  }

  /** Adds a handler, which is told at once of everything already cached. The returned function removes it. */
  on(handler: InformerHandler<Stored<T>>): () => void {
    this.#handlers.add(handler);
    for (const object of this.#objects.values()) this.#tell(() => handler.added?.(object));
    return () => this.#handlers.delete(handler);
  }

  /** The object under "namespace/name", or "name" for what has no namespace. */
  get(key: string): Stored<T> | undefined {
    return this.#objects.get(key);
  }

  list(): Stored<T>[] {
    return [...this.#objects.values()];
  }

  get size(): number {
    return this.#objects.size;
  }

  /** Everything that index `name` keeps under `value`. */
  byIndex(name: string, value: string): Stored<T>[] {
    const index = this.#indexes.get(name);
    if (index === undefined)
      throw new TripodError("invalid", `informer of ${this.#source.ref.plural}: no index ${name}`);
    return [...(index.get(value) ?? [])].flatMap((key) => this.#objects.get(key) ?? []);
  }

  async close(): Promise<void> {
    await this.#owner.stop();
    if (!this.#isSynced)
      this.#synced.reject(new TripodError("cancelled", `${this.#owner.name}: closed before it had synced`));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #follow(signal: AbortSignal): Promise<void> {
    let delayMs = firstDelayMs;
    while (!signal.aborted) {
      try {
        if (this.#resourceVersion === "") await this.#relist(signal);
        delayMs = firstDelayMs;
        await this.#watch(signal);
        // The server ended it in the ordinary way; a server that ends each at once must not be asked in a tight loop.
        await abortableDelay(firstDelayMs, signal);
      } catch (error) {
        if (signal.aborted) return;
        if (codeOf(error) === "out-of-range") {
          this.#resourceVersion = "";
          continue;
        }
        this.#options.log.warn(
          { resource: this.#source.ref.plural, error: messageOf(error), delayMs },
          "informer lost the API server, trying again",
        );
        await abortableDelay(delayMs * (0.75 + Math.random() / 2), signal).catch(() => {});
        delayMs = Math.min(longestDelayMs, delayMs * 2);
      }
    }
  }

  async #relist(signal: AbortSignal): Promise<void> {
    const { namespace, labelSelector, fieldSelector } = this.#options;
    const select = {
      signal,
      ...(namespace === undefined ? {} : { namespace }),
      ...(labelSelector === undefined ? {} : { labelSelector }),
      ...(fieldSelector === undefined ? {} : { fieldSelector }),
    };
    const found = new Map<string, Stored<T>>();
    let page: ListOf<Stored<T>> | undefined;
    do {
      page = await this.#source.list({
        ...select,
        limit: pageSize,
        ...(page?.continue === undefined ? {} : { continue: page.continue }),
      });
      for (const item of page.items) found.set(keyOf(item), this.#trim(item));
    } while (page.continue !== undefined);
    for (const [key, object] of this.#objects) if (!found.has(key)) this.#remove(key, object);
    for (const [key, object] of found) this.#put(key, object);
    this.#resourceVersion = page.resourceVersion;
    this.#isSynced = true;
    this.#synced.resolve();
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { namespace, labelSelector, fieldSelector } = this.#options;
    const events: AsyncIterable<WatchEventOf<Stored<T>>> = this.#source.watch({
      signal,
      resourceVersion: this.#resourceVersion,
      allowWatchBookmarks: true,
      // Spread, so that a server is not asked for everything by everybody at the same instant.
      timeoutSeconds: 300 + Math.floor(Math.random() * 300),
      ...(namespace === undefined ? {} : { namespace }),
      ...(labelSelector === undefined ? {} : { labelSelector }),
      ...(fieldSelector === undefined ? {} : { fieldSelector }),
    });
    for await (const { type, object } of events) {
      if (type !== "BOOKMARK") {
        const key = keyOf(object);
        if (type === "DELETED") this.#remove(key, object);
        else this.#put(key, this.#trim(object));
      }
      this.#resourceVersion = object.metadata.resourceVersion;
    }
  }

  #trim(object: Stored<T>): Stored<T> {
    return this.#options.trim?.(object) ?? object;
  }

  #put(key: string, object: Stored<T>): void {
    const previous = this.#objects.get(key);
    if (previous?.metadata.resourceVersion === object.metadata.resourceVersion) return;
    if (previous !== undefined && previous.metadata.uid !== object.metadata.uid) {
      // Deleted and made again while nobody looked: two objects, so two changes.
      this.#remove(key, previous);
      this.#put(key, object);
      return;
    }
    if (previous !== undefined) this.#reindex(key, previous, "out");
    this.#objects.set(key, object);
    this.#reindex(key, object, "in");
    for (const handler of this.#handlers)
      this.#tell(() => (previous === undefined ? handler.added?.(object) : handler.updated?.(object, previous)));
  }

  #remove(key: string, last: Stored<T>): void {
    const previous = this.#objects.get(key);
    if (previous === undefined) return;
    this.#reindex(key, previous, "out");
    this.#objects.delete(key);
    for (const handler of this.#handlers) this.#tell(() => handler.deleted?.(last));
  }

  #reindex(key: string, object: Stored<T>, direction: "in" | "out"): void {
    for (const [name, valuesOf] of Object.entries(this.#options.indexes ?? {})) {
      const index = this.#indexes.get(name);
      for (const value of valuesOf(object)) {
        const keys = index?.get(value);
        if (direction === "in") {
          if (keys === undefined) index?.set(value, new Set([key]));
          else keys.add(key);
        } else if (keys?.delete(key) === true && keys.size === 0) index?.delete(value);
      }
    }
  }

  #tell(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#options.log.error(
        { resource: this.#source.ref.plural, error: messageOf(error) },
        "informer handler failed",
      );
    }
  }
}
