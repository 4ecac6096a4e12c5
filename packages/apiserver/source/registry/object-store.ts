import { isTripodError } from "@tripod/base";
import { alreadyExists, badRequest, conflict, expired, modifiedMeanwhile, notFound } from "../http/api-error.ts";
import type { Storage, StorageWatch, StoredValue } from "../storage/storage.ts";
import type { ApiObject } from "./api-object.ts";
import type { ResourceDefinition } from "./resource.ts";

type Named = Pick<ResourceDefinition, "group" | "plural" | "storageName" | "namespaced">;

export interface ObjectPage {
  readonly items: ApiObject[];
  readonly revision: number;
  readonly continue: string | undefined;
  readonly remaining: number;
}

const prefixOf = (resource: Named, namespace: string | undefined): string =>
  namespace ? `/${resource.storageName}/${namespace}/` : `/${resource.storageName}/`;

/** The text after which a list goes on, bound to the revision of its first page. */
const encodeContinue = (key: string, revision: number): string =>
  Buffer.from(JSON.stringify({ v: "tripod/v1", rv: revision, key })).toString("base64url");

function decodeContinue(token: string): { key: string; revision: number } {
  try {
    const { key, rv } = JSON.parse(Buffer.from(token, "base64url").toString()) as { key: unknown; rv: unknown }; // checked on the next line
    if (typeof key === "string" && typeof rv === "number") return { key, revision: rv };
  } catch {
    // told below
  }
  throw badRequest("continue key is not valid: it was not made by this server");
}

/** The store in terms of objects. What it returns must not be changed: it is shared with every watcher. */
export class ObjectStore {
  readonly #storage: Storage;
  readonly #parsed = new WeakMap<StoredValue, ApiObject>();

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  get revision(): number {
    return this.#storage.revision;
  }

  /** The object that a stored value holds, with its resourceVersion. */
  parse(stored: StoredValue, revision = stored.revision): ApiObject {
    const known = revision === stored.revision ? this.#parsed.get(stored) : undefined;
    if (known !== undefined) return known;
    const object = JSON.parse(stored.value) as ApiObject; // only put() below writes values
    object.metadata.resourceVersion = String(revision);
    if (revision === stored.revision) this.#parsed.set(stored, object);
    return object;
  }

  find(resource: Named, namespace: string | undefined, name: string): ApiObject | undefined {
    const stored = this.#storage.get(prefixOf(resource, resource.namespaced ? namespace : undefined) + name);
    return stored === undefined ? undefined : this.parse(stored);
  }

  get(resource: Named, namespace: string | undefined, name: string): ApiObject {
    const found = this.find(resource, namespace, name);
    if (found === undefined) throw notFound(resource, name);
    return found;
  }

  list(
    resource: Named,
    namespace: string | undefined,
    page: { readonly limit?: number; readonly continue?: string } = {},
  ): ObjectPage {
    const prefix = prefixOf(resource, namespace);
    const from = page.continue ? decodeContinue(page.continue) : undefined;
    if (from !== undefined && !from.key.startsWith(prefix))
      throw badRequest("continue key is not valid: it belongs to another list");
    const listed = this.#storage.list(prefix, {
      ...(page.limit === undefined || page.limit <= 0 ? {} : { limit: page.limit }),
      ...(from === undefined ? {} : { after: from.key }),
    });
    const last = listed.items.at(-1);
    const revision = from?.revision ?? listed.revision;
    return {
      items: listed.items.map((stored) => this.parse(stored)),
      revision,
      remaining: listed.remaining,
      continue: listed.remaining > 0 && last !== undefined ? encodeContinue(last.key, revision) : undefined,
    };
  }

  create(resource: Named, object: ApiObject): ApiObject {
    const name = object.metadata.name ?? "";
    try {
      return this.parse(
        this.#storage.create(prefixOf(resource, object.metadata.namespace) + name, this.#serialize(object)),
      );
    } catch (error) {
      if (isTripodError(error, "already-exists")) throw alreadyExists(resource, name);
      throw error;
    }
  }

  /** Replaces the object that `old` was read as. A write that changes nothing is none. */
  update(resource: Named, object: ApiObject, old: ApiObject): ApiObject {
    const value = this.#serialize(object);
    if (value === this.#serialize(old)) return old;
    const key = prefixOf(resource, object.metadata.namespace) + (object.metadata.name ?? "");
    return this.#checked(resource, object, () =>
      this.parse(this.#storage.update(key, value, Number(old.metadata.resourceVersion))),
    );
  }

  /** Removes the object that `old` was read as; returned with the deletion's revision. */
  remove(resource: Named, old: ApiObject): ApiObject {
    const key = prefixOf(resource, old.metadata.namespace) + (old.metadata.name ?? "");
    const revision = this.#checked(resource, old, () =>
      this.#storage.delete(key, Number(old.metadata.resourceVersion)),
    );
    return { ...old, metadata: { ...old.metadata, resourceVersion: String(revision) } };
  }

  watch(resource: Named, namespace: string | undefined, revision: number): StorageWatch {
    try {
      return this.#storage.watch(prefixOf(resource, namespace), revision);
    } catch (error) {
      if (isTripodError(error, "out-of-range")) throw expired(error.message);
      throw error;
    }
  }

  #serialize(object: ApiObject): string {
    const { resourceVersion: _, ...metadata } = object.metadata;
    return JSON.stringify({ ...object, metadata });
  }

  #checked<T>(resource: Named, object: ApiObject, write: () => T): T {
    const name = object.metadata.name ?? "";
    try {
      return write();
    } catch (error) {
      if (isTripodError(error, "not-found")) throw notFound(resource, name);
      if (isTripodError(error, "conflict")) throw conflict(resource, name, modifiedMeanwhile);
      throw error;
    }
  }
}
