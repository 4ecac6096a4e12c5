import type { KubernetesObject } from "@tripod/api/kubernetes";
import { isTripodError } from "@tripod/base";
import { alreadyExists, conflict, expired, modifiedMeanwhile, notFound, tooLargeVersion } from "../http/api-error.ts";
import type { Storage, StorageWatch, StoredValue } from "../storage/storage.ts";
import { continueExpired, decodeContinue, encodeContinue } from "./continue-token.ts";
import { qualifiedName, type Resource, type ResourceName } from "./resource.ts";
import { type ObjectForm, StoredObject, toStoredText } from "./stored-object.ts";

/** What reading and writing objects needs to know of their resource. */
export type StoredResource<T extends KubernetesObject = KubernetesObject> = ResourceName &
  Pick<Resource<T>, "conversion">;

export interface PageOptions {
  readonly limit?: number;
  readonly continue?: string;
  /** Show this past revision. */
  readonly revision?: number;
}

export interface ObjectPage<T extends KubernetesObject> {
  readonly items: readonly StoredObject<T>[];
  readonly revision: number;
  readonly continue: string | undefined;
  readonly remaining: number;
}

/** Where the keys of a resource begin, in one namespace or in all. */
const keyPrefix = (resource: ResourceName, namespace: string | undefined): string => {
  const root = `/${resource.storageName ?? qualifiedName(resource)}/`;
  return resource.namespaced && namespace !== undefined ? `${root}${namespace}/` : root;
};

/** How many rows are taken out of the storage in one synchronous step. */
const chunkSize = 250;
/** How many parsed objects are remembered. */
const cacheSize = 500;

/** The store in terms of objects. What it returns is shared: clone before changing. */
export class ObjectStore {
  readonly #storage: Storage;
  /** The latest known object of each key and form, oldest use first. */
  readonly #cache = new Map<string, StoredObject>();

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  get storage(): Storage {
    return this.#storage;
  }

  /** The stored object of a value; remembered, so that it is parsed once for all that read it. */
  objectOf<T extends KubernetesObject>(resource: StoredResource<T>, value: StoredValue): StoredObject<T> {
    const form: ObjectForm = resource;
    const cacheKey = `${resource.group}/${resource.version}:${value.key}`;
    const known = this.#cache.get(cacheKey);
    if (known?.revision === value.revision) return known as StoredObject<T>; // the key says which resource it is
    const fresh = new StoredObject<T>(form, value);
    // An older state than the one remembered is for this caller alone.
    if (known === undefined || known.revision < value.revision) {
      this.#cache.delete(cacheKey);
      this.#cache.set(cacheKey, fresh);
      const oldest = this.#cache.size > cacheSize ? this.#cache.keys().next().value : undefined;
      if (oldest !== undefined) this.#cache.delete(oldest);
    }
    return fresh;
  }

  async find<T extends KubernetesObject>(
    resource: StoredResource<T>,
    namespace: string | undefined,
    name: string,
  ): Promise<StoredObject<T> | undefined> {
    const stored = await this.#storage.get(keyPrefix(resource, namespace) + name);
    return stored === undefined ? undefined : this.objectOf(resource, stored);
  }

  async get<T extends KubernetesObject>(
    resource: StoredResource<T>,
    namespace: string | undefined,
    name: string,
  ): Promise<StoredObject<T>> {
    const found = await this.find(resource, namespace, name);
    if (found === undefined) throw notFound(resource, name);
    return found;
  }

  /** A page of objects as they were at one revision. Lets other work run between chunks. */
  async list<T extends KubernetesObject>(
    resource: StoredResource<T>,
    namespace: string | undefined,
    page: PageOptions = {},
  ): Promise<ObjectPage<T>> {
    const prefix = keyPrefix(resource, namespace);
    const from = page.continue === undefined ? undefined : decodeContinue(page.continue, prefix);
    const items: StoredObject<T>[] = [];
    const limit = page.limit ?? Number.POSITIVE_INFINITY;
    let revision = from?.revision ?? page.revision;
    let after = from?.key;
    let remaining = 0;
    try {
      do {
        const chunk = await this.#storage.list(prefix, {
          limit: Math.min(chunkSize, limit - items.length),
          ...(after === undefined ? {} : { after }),
          ...(revision === undefined ? {} : { revision }),
        });
        for (const stored of chunk.items) items.push(this.objectOf(resource, stored));
        ({ revision, remaining } = chunk);
        after = chunk.items.at(-1)?.key;
        if (remaining > 0 && items.length < limit) await new Promise(setImmediate);
      } while (remaining > 0 && items.length < limit && after !== undefined);
    } catch (error) {
      if (isTripodError(error, "out-of-range")) throw from === undefined ? expired(error.message) : continueExpired();
      if (isTripodError(error, "invalid"))
        throw from === undefined ? tooLargeVersion(error.message) : continueExpired();
      throw error;
    }
    const isMore = remaining > 0 && after !== undefined;
    return {
      items,
      revision,
      remaining,
      continue: isMore ? encodeContinue({ key: after ?? "", revision }) : undefined,
    };
  }

  async create<T extends KubernetesObject>(resource: StoredResource<T>, object: T): Promise<StoredObject<T>> {
    const { name = "", namespace } = object.metadata;
    try {
      const key = keyPrefix(resource, namespace) + name;
      return this.objectOf(resource, await this.#storage.create(key, this.#textOf(resource, object)));
    } catch (error) {
      if (isTripodError(error, "already-exists")) throw alreadyExists(resource, name);
      throw error;
    }
  }

  /** Replaces the object that was read as `old`. A write that changes nothing is none. */
  async update<T extends KubernetesObject>(
    resource: StoredResource<T>,
    object: T,
    old: StoredObject<T>,
  ): Promise<StoredObject<T>> {
    const text = this.#textOf(resource, object);
    if (text === this.#textOf(resource, old.object)) return old;
    return this.#checked(resource, old, async () =>
      this.objectOf(resource, await this.#storage.update(old.key, text, old.revision)),
    );
  }

  /** Removes the object that was read as `old`; what is returned shows the deletion's revision. */
  async remove<T extends KubernetesObject>(resource: StoredResource<T>, old: StoredObject<T>): Promise<T> {
    const revision = await this.#checked(resource, old, () => this.#storage.delete(old.key, old.revision));
    return { ...old.object, metadata: { ...old.object.metadata, resourceVersion: String(revision) } };
  }

  async watch(resource: ResourceName, namespace: string | undefined, revision: number): Promise<StorageWatch> {
    try {
      return await this.#storage.watch(keyPrefix(resource, namespace), revision);
    } catch (error) {
      // A version from the future is one of another life of this store: the client must list again, as for one from the past.
      if (isTripodError(error, "out-of-range", "invalid")) throw expired(error.message);
      throw error;
    }
  }

  #textOf<T extends KubernetesObject>(resource: StoredResource<T>, object: T): string {
    return toStoredText(resource.conversion?.toStored(object) ?? object);
  }

  async #checked<T extends KubernetesObject, R>(
    resource: StoredResource<T>,
    old: StoredObject<T>,
    write: () => Promise<R>,
  ): Promise<R> {
    const { name = "" } = old.object.metadata;
    try {
      return await write();
    } catch (error) {
      if (isTripodError(error, "not-found")) throw notFound(resource, name);
      if (isTripodError(error, "conflict")) throw conflict(resource, name, modifiedMeanwhile);
      throw error;
    }
  }
}
