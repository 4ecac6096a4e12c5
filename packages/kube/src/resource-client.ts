import {
  apiVersionOf,
  type DeleteOptions,
  type KubernetesObject,
  type ListMeta,
  type Status,
  type Stored,
} from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import type { Connection, RequestOptions } from "./connection.ts";
import { readWatch, type WatchEventOf } from "./watch-stream.ts";
import type { ResourceRef } from "./resource-ref.ts";

export interface CallOptions {
  /** Where the object is; not given for what has no namespace. */
  readonly namespace?: string;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}
export interface WriteOptions extends CallOptions {
  readonly fieldManager?: string;
  readonly fieldValidation?: "Strict" | "Warn" | "Ignore";
  readonly dryRun?: boolean;
}
export interface PatchOptions extends WriteOptions {
  /** "merge" unless told; "apply" is server-side apply and needs a fieldManager. */
  readonly type?: "merge" | "json" | "strategic" | "apply";
  readonly subresource?: string;
  /** Server-side apply: take fields over from other managers. */
  readonly force?: boolean;
}
export interface RemoveOptions extends CallOptions {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: "Orphan" | "Background" | "Foreground";
  /** Delete only this very object. */
  readonly uid?: string;
  readonly resourceVersion?: string;
}
export interface SelectOptions extends CallOptions {
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}
export interface ListOptions extends SelectOptions {
  readonly limit?: number;
  readonly continue?: string;
  readonly resourceVersion?: string;
}
export interface WatchOptions extends SelectOptions {
  /** Where to start; without it the watch begins with an ADDED event for each object that is there. */
  readonly resourceVersion?: string;
  readonly allowWatchBookmarks?: boolean;
  /** After this long the server ends the watch. */
  readonly timeoutSeconds?: number;
}

/** One list; `continue` is there when more pages follow. */
export interface ListOf<T> {
  readonly items: T[];
  readonly resourceVersion: string;
  readonly continue?: string;
}

const patchTypes = {
  merge: "application/merge-patch+json",
  json: "application/json-patch+json",
  strategic: "application/strategic-merge-patch+json",
  apply: "application/apply-patch+yaml",
} as const;

/** The operations on one resource. Every refusal is a TripodError whose code says which: not-found, conflict, invalid … */
export class ResourceClient<T extends KubernetesObject> {
  readonly ref: ResourceRef<T>;
  readonly #connection: Connection;

  constructor(connection: Connection, ref: ResourceRef<T>) {
    this.#connection = connection;
    this.ref = ref;
  }

  async get(name: string, options: CallOptions = {}): Promise<Stored<T>> {
    return this.#send<Stored<T>>({ method: "GET", path: this.#path(options.namespace, name) }, "get", name, options);
  }

  /** As get, but undefined for what is not there. */
  async find(name: string, options: CallOptions = {}): Promise<Stored<T> | undefined> {
    try {
      return await this.get(name, options);
    } catch (error) {
      if (error instanceof TripodError && error.code === "not-found") return undefined;
      throw error;
    }
  }

  /** One page, or all where no limit is given. Items carry kind and apiVersion. */
  async list(options: ListOptions = {}): Promise<ListOf<Stored<T>>> {
    const reply = await this.#send<{
      apiVersion?: string;
      kind?: string;
      metadata?: ListMeta;
      items?: Stored<T>[] | null;
    }>(
      {
        method: "GET",
        path: this.#path(options.namespace),
        query: {
          labelSelector: options.labelSelector,
          fieldSelector: options.fieldSelector,
          limit: options.limit,
          continue: options.continue,
          resourceVersion: options.resourceVersion,
        },
      },
      "list",
      undefined,
      options,
    );
    const items = reply.items ?? [];
    const kind = reply.kind?.replace(/List$/, "");
    for (const item of items) {
      if (reply.apiVersion !== undefined) item.apiVersion ??= reply.apiVersion;
      if (kind !== undefined) item.kind ??= kind;
    }
    const more = reply.metadata?.continue;
    return {
      items,
      resourceVersion: reply.metadata?.resourceVersion ?? "",
      ...(more === undefined || more === "" ? {} : { continue: more }),
    };
  }

  /** Creates an object; kind, apiVersion and namespace may be left to the reference and the options. */
  async create(object: T, options: WriteOptions = {}): Promise<Stored<T>> {
    const namespace = options.namespace ?? object.metadata.namespace;
    return this.#send<Stored<T>>(
      { method: "POST", path: this.#path(namespace), query: writeQuery(options), body: this.#typed(object) },
      "create",
      object.metadata.name,
      options,
    );
  }

  /** Replaces an object; a resourceVersion in its metadata makes it fail with "conflict" if somebody else was faster. */
  async update(object: T, options: WriteOptions = {}): Promise<Stored<T>> {
    return this.#replace(object, "", options);
  }

  /** Replaces an object's status alone. */
  async updateStatus(object: T, options: WriteOptions = {}): Promise<Stored<T>> {
    return this.#replace(object, "/status", options);
  }

  async patch(name: string, patch: unknown, options: PatchOptions = {}): Promise<Stored<T>> {
    const suffix = options.subresource === undefined ? "" : `/${options.subresource}`;
    return this.#send<Stored<T>>(
      {
        method: "PATCH",
        path: this.#path(options.namespace, name) + suffix,
        query: { ...writeQuery(options), force: options.force },
        body: patch,
        contentType: patchTypes[options.type ?? "merge"],
      },
      "patch",
      name,
      options,
    );
  }

  /** Asks for deletion. What comes back is the object, if it still waits for something, or a Status. */
  async delete(name: string, options: RemoveOptions = {}): Promise<Stored<T> | Status> {
    return this.#send<Stored<T> | Status>(
      { method: "DELETE", path: this.#path(options.namespace, name), body: deleteOptions(options) },
      "delete",
      name,
      options,
    );
  }

  async deleteCollection(options: RemoveOptions & SelectOptions = {}): Promise<void> {
    const query = { labelSelector: options.labelSelector, fieldSelector: options.fieldSelector };
    const path = this.#path(options.namespace);
    await this.#send({ method: "DELETE", path, query, body: deleteOptions(options) }, "delete all", undefined, options);
  }

  /** Reads a subresource. */
  async getSubresource<R>(name: string, subresource: string, options: CallOptions = {}): Promise<R> {
    const path = `${this.#path(options.namespace, name)}/${subresource}`;
    return this.#send<R>({ method: "GET", path }, `get ${subresource} of`, name, options);
  }

  /** Posts to a subresource, such as a Pod's binding or a service account's token. */
  async createSubresource<R>(name: string, subresource: string, body: object, options: WriteOptions = {}): Promise<R> {
    const path = `${this.#path(options.namespace, name)}/${subresource}`;
    return this.#send<R>(
      { method: "POST", path, query: writeQuery(options), body },
      `create ${subresource} of`,
      name,
      options,
    );
  }

  /**
   * Follows changes. Ends when the server ends it or the signal aborts; throws "out-of-range" when the resourceVersion is too old,
   * "unavailable" when the connection breaks. Bookmarks come only where asked for.
   */
  async *watch(options: WatchOptions = {}): AsyncGenerator<WatchEventOf<Stored<T>>, void, undefined> {
    const what = this.#what("watch", undefined, options.namespace);
    const { signal } = options;
    try {
      const body = await this.#connection.stream({
        method: "GET",
        path: this.#path(options.namespace),
        query: {
          watch: true,
          resourceVersion: options.resourceVersion,
          labelSelector: options.labelSelector,
          fieldSelector: options.fieldSelector,
          allowWatchBookmarks: options.allowWatchBookmarks,
          timeoutSeconds: options.timeoutSeconds,
        },
        what,
        ...(signal === undefined ? {} : { signal }),
      });
      yield* readWatch<Stored<T>>(body, what);
    } catch (error) {
      if (!signal?.aborted) throw error;
    }
  }

  async #replace(object: T, suffix: string, options: WriteOptions): Promise<Stored<T>> {
    const { name } = object.metadata;
    if (name === undefined) throw new TripodError("invalid", `update ${this.ref.plural}: the object has no name`);
    const path = this.#path(options.namespace ?? object.metadata.namespace, name) + suffix;
    const verb = suffix === "" ? "update" : "update status of";
    return this.#send<Stored<T>>(
      { method: "PUT", path, query: writeQuery(options), body: this.#typed(object) },
      verb,
      name,
      options,
    );
  }

  #typed(object: T): object {
    const { kind } = this.ref;
    return { apiVersion: apiVersionOf(this.ref), ...(kind === undefined ? {} : { kind }), ...object };
  }

  #path(namespace: string | undefined, name?: string): string {
    const { group, version, plural } = this.ref;
    const root = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
    const inside = namespace === undefined || namespace === "" ? "" : `/namespaces/${encodeURIComponent(namespace)}`;
    if (name === "") throw new TripodError("invalid", `${plural}: the name is empty`);
    return `${root}${inside}/${plural}${name === undefined ? "" : `/${encodeURIComponent(name)}`}`;
  }

  #what(verb: string, name: string | undefined, namespace: string | undefined): string {
    const object = name === undefined ? this.ref.plural : `${this.ref.plural}/${name}`;
    return `${verb} ${object}${namespace === undefined ? "" : ` in ${namespace}`}`;
  }

  async #send<R>(request: RequestOptions, verb: string, name: string | undefined, options: CallOptions): Promise<R> {
    const { signal, timeoutMs } = options;
    const reply = await this.#connection.request({
      ...request,
      what: this.#what(verb, name, options.namespace),
      ...(signal === undefined ? {} : { signal }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    });
    return reply as R; // the server's word for what the resource holds
  }
}

const writeQuery = (options: WriteOptions): Record<string, string | undefined> => ({
  fieldManager: options.fieldManager,
  fieldValidation: options.fieldValidation,
  dryRun: options.dryRun === true ? "All" : undefined,
});

function deleteOptions(options: RemoveOptions): DeleteOptions {
  const { gracePeriodSeconds, propagationPolicy, uid, resourceVersion } = options;
  const preconditions = {
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  };
  return {
    apiVersion: "v1",
    kind: "DeleteOptions",
    ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
    ...(propagationPolicy === undefined ? {} : { propagationPolicy }),
    ...(Object.keys(preconditions).length === 0 ? {} : { preconditions }),
  };
}
