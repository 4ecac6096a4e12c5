import type { IncomingMessage } from "node:http";
import { type APIResourceList, type KubernetesObject, parseApiVersion } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import { Connection, type RequestOptions } from "./connection.ts";
import { type KubeConfig, readKubeconfig } from "./kubeconfig.ts";
import { ResourceClient } from "./resource-client.ts";
import type { ResourceRef } from "./resource-ref.ts";

export interface KubeClientOptions {
  /** "tripod" unless told. */
  readonly userAgent?: string;
  /** The largest reply that is read whole, in bytes; 64 MiB unless told. */
  readonly maxReplyBytes?: number;
}

export interface LogOptions {
  readonly namespace: string;
  readonly container?: string;
  readonly follow?: boolean;
  readonly previous?: boolean;
  readonly tailLines?: number;
  readonly sinceSeconds?: number;
  readonly timestamps?: boolean;
  readonly limitBytes?: number;
  readonly signal?: AbortSignal;
}

/** A client of one API server. Disposing it closes its connections. */
export class KubeClient implements Disposable {
  readonly config: KubeConfig;
  readonly #connection: Connection;
  readonly #discovered = new Map<string, Promise<APIResourceList>>();

  constructor(config: KubeConfig, options: KubeClientOptions = {}) {
    this.config = config;
    this.#connection = new Connection(config, {
      userAgent: options.userAgent ?? "tripod",
      maxReplyBytes: options.maxReplyBytes ?? 64 * 1024 * 1024,
    });
  }

  /** A client for a kubeconfig file's current context, or the one named. */
  static fromKubeconfig(path: string, options: KubeClientOptions & { readonly context?: string } = {}): KubeClient {
    return new KubeClient(readKubeconfig(path, options), options);
  }

  /** The operations on one resource: `client.resource(pods)`, or `client.resource<Pod>({ group: "", version: "v1", plural: "pods" })`. */
  resource<T extends KubernetesObject>(ref: ResourceRef<T>): ResourceClient<T> {
    return new ResourceClient(this.#connection, ref);
  }

  /** Where objects of a kind live, by asking the server. Throws "not-found" for kinds that it does not serve. */
  async resourceOf(kind: {
    readonly apiVersion: string;
    readonly kind: string;
  }): Promise<ResourceRef & { readonly namespaced: boolean }> {
    const { group, version } = parseApiVersion(kind.apiVersion);
    const path = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
    let list = this.#discovered.get(path);
    if (list === undefined) {
      // The reply's shape is what /api/VERSION is documented to answer.
      list = this.request({ method: "GET", path, what: `discover ${kind.apiVersion}` }) as Promise<APIResourceList>;
      this.#discovered.set(path, list);
      list.catch(() => this.#discovered.delete(path));
    }
    const found = (await list).resources.find((each) => each.kind === kind.kind && !each.name.includes("/"));
    if (found === undefined)
      throw new TripodError("not-found", `${kind.apiVersion} ${kind.kind}: the API server has no such kind`);
    return { group, version, plural: found.name, kind: kind.kind, namespaced: found.namespaced };
  }

  /** A container's log as it comes; a readable stream, to be read or destroyed. */
  podLog(name: string, options: LogOptions): Promise<IncomingMessage> {
    const { namespace, signal, ...query } = options;
    return this.#connection.stream({
      method: "GET",
      path: `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}/log`,
      query,
      accept: "*/*",
      what: `read the log of pods/${name} in ${namespace}`,
      ...(signal === undefined ? {} : { signal }),
    });
  }

  /** Any request: parsed JSON, or text. */
  request(options: RequestOptions): Promise<unknown> {
    return this.#connection.request(options);
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }
}
