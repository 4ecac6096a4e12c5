import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Pod } from "@tripod/api/kubernetes";
import { type Logger, messageOf } from "@tripod/base";
import { withSpan, withTraceparent } from "@tripod/trace";
import { authenticate } from "../auth/authenticate.ts";
import { isAllowed } from "../auth/authorize.ts";
import type { TokenSigner } from "../auth/service-account-token.ts";
import { Discovery } from "../discovery/serve-discovery.ts";
import type { ObjectStore } from "../registry/object-store.ts";
import type { Registry } from "../registry/registry.ts";
import { type Resource, subresourcesOf, type User } from "../registry/resource.ts";
import { pods } from "../resources/pod/pod.ts";
import { reviewOf } from "../resources/reviews.ts";
import type { KubeletConnection } from "../subresources/kubelet-target.ts";
import { servePodStream, type Upgrade } from "../subresources/pod-stream.ts";
import { isStreamed, serveSubresource } from "../subresources/serve-subresource.ts";
import type { ResourceRequest } from "../verbs/request.ts";
import { ApiError, badRequest, forbidden, methodNotAllowed, noSuchPath, statusOf } from "./api-error.ts";
import { type Exchange, sendBytes, sendError, sendJson } from "./reply.ts";
import { parsePath, type RequestPath } from "./request-path.ts";
import { bodyObject, serveResource, verbOf } from "./serve-resource.ts";

/** What a handler is made of. */
export interface HandlerParts {
  readonly store: ObjectStore;
  readonly registry: Registry;
  readonly tokens: TokenSigner;
  readonly kubelets: KubeletConnection;
  readonly log: Logger;
  /** Aborted when the server stops: watches end. */
  readonly signal: AbortSignal;
}

/** Who asks, and for what. */
interface Entry {
  readonly path: string;
  readonly query: URLSearchParams;
  readonly user: User;
  readonly userAgent: string;
  readonly signal: AbortSignal;
}

const longestUrl = 64 * 1024;
const healthPath = /^\/(healthz|livez|readyz)(\/|$)/;

/** Every request of the API server: authenticated, authorized, then served from the registry. Never throws. */
export class ApiHandler {
  readonly #parts: HandlerParts;
  readonly #discovery: Discovery;
  /** Of the requests that are being served. */
  readonly #serving = new Set<AbortController>();

  constructor(parts: HandlerParts) {
    this.#parts = parts;
    this.#discovery = new Discovery(parts.registry);
    parts.signal.addEventListener("abort", () => {
      for (const each of this.#serving) each.abort();
    });
  }

  async onRequest(http: IncomingMessage, response: ServerResponse): Promise<void> {
    const exchange = { http, response };
    const gone = this.#untilClosed(response);
    try {
      await this.#serve(exchange, await this.#enter(http, gone));
    } catch (error) {
      if (response.destroyed) return;
      const { code } = statusOf(error);
      if (code >= 500 && code !== 503) this.#logFailure(http, error);
      await sendError(exchange, error).catch(() => response.destroy());
    }
  }

  async onUpgrade(http: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const gone = this.#untilClosed(socket);
    socket.on("error", () => socket.destroy());
    try {
      await this.#serveUpgrade({ http, socket, head }, await this.#enter(http, gone));
    } catch (error) {
      const status = statusOf(error);
      if (status.code >= 500) this.#logFailure(http, error);
      const body = JSON.stringify(status);
      const lines = [
        `HTTP/1.1 ${status.code} ${status.reason}`,
        "content-type: application/json",
        `content-length: ${Buffer.byteLength(body)}`,
        "connection: close",
      ];
      socket.end(`${lines.join("\r\n")}\r\n\r\n${body}`);
    }
  }

  /** Aborted when the client has gone or the server stops. */
  #untilClosed(connection: ServerResponse | Duplex): AbortSignal {
    const abort = new AbortController();
    this.#serving.add(abort);
    connection.once("close", () => {
      this.#serving.delete(abort);
      abort.abort();
    });
    if (this.#parts.signal.aborted) abort.abort();
    return abort.signal;
  }

  #logFailure(http: IncomingMessage, error: unknown): void {
    const path = http.url?.split("?")[0];
    this.#parts.log.error({ method: http.method, path, error: messageOf(error) }, "request failed");
  }

  async #enter(http: IncomingMessage, gone: AbortSignal): Promise<Entry> {
    const url = http.url ?? "/";
    if (url.length > longestUrl) throw badRequest("the URL is too long");
    const user = await authenticate(http, this.#parts.tokens, this.#parts.store);
    if (user === undefined)
      throw new ApiError("unauthenticated", { code: 401, reason: "Unauthorized", message: "Unauthorized" });
    const mark = url.indexOf("?");
    return {
      path: mark < 0 ? url : url.slice(0, mark),
      query: new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1)),
      user,
      userAgent: http.headers["user-agent"] ?? "",
      signal: gone,
    };
  }

  async #serve(exchange: Exchange, entry: Entry): Promise<void> {
    const { http } = exchange;
    const method = http.method ?? "GET";
    const path = parsePath(entry.path);
    if (path === undefined) return this.#servePath(exchange, entry);
    const verb = verbOf(method, path.name, entry.query);
    const request = this.#resourceRequest(path, entry, verb);
    const { resource, subresource } = request;
    const review = reviewOf(resource);
    if (review !== undefined) {
      if (verb !== "create") throw methodNotAllowed(`${verb} ${resource.plural}`);
      return sendJson(exchange, review.answer(await bodyObject(http, request), entry.user), { code: 201 });
    }
    const serve = (): Promise<void> =>
      subresource === undefined || subresource === "status"
        ? serveResource(exchange, request)
        : serveSubresource(exchange, request, this.#parts);
    // What only looks, and what comes every few seconds, would drown the spans that people look for.
    if (method === "GET" || resource.plural === "leases" || resource.plural === "events") return serve();
    const name = `apiserver ${verb} ${resource.plural}${subresource === undefined ? "" : `/${subresource}`}`;
    const parent = http.headers.traceparent;
    return withTraceparent(typeof parent === "string" ? parent : undefined, () =>
      withSpan(name, spanAttributes(request), serve),
    );
  }

  async #servePath(exchange: Exchange, entry: Entry): Promise<void> {
    const { path, user } = entry;
    const isRead = exchange.http.method === "GET" || exchange.http.method === "HEAD";
    const verb = isRead ? "get" : (exchange.http.method ?? "").toLowerCase();
    if (!isAllowed(user, { verb, path }))
      throw new ApiError("permission-denied", {
        code: 403,
        reason: "Forbidden",
        message: `forbidden: User ${JSON.stringify(user.name)} cannot ${verb} path ${JSON.stringify(path)}`,
        details: {},
      });
    if (!isRead) throw noSuchPath();
    if (healthPath.test(path)) return sendBytes(exchange, Buffer.from("ok"), { contentType: "text/plain" });
    if (!(await this.#discovery.serve(exchange, path))) throw noSuchPath();
  }

  async #serveUpgrade(upgrade: Upgrade, entry: Entry): Promise<void> {
    const path = parsePath(entry.path);
    if (path?.group !== "" || path.plural !== "pods" || !isStreamed(path.subresource))
      throw badRequest("only exec, attach and portforward of a pod can be upgraded");
    const request = this.#resourceRequest(path, entry, "create");
    const pod = await this.#parts.store.get<Pod>(pods, path.namespace, path.name ?? "");
    await servePodStream(upgrade, request, { pod: pod.object, kubelets: this.#parts.kubelets });
  }

  #resourceRequest(path: RequestPath, entry: Entry, verb: string): ResourceRequest {
    const { group, version, plural, namespace, name, subresource } = path;
    const { user, query, userAgent, signal } = entry;
    if (!isAllowed(user, { verb, resource: { group, plural, subresource, namespace, name } }))
      throw forbidden(
        { group, plural: subresource === undefined ? plural : `${plural}/${subresource}` },
        name ?? "",
        whyNot(user, path, verb),
      );
    const { registry, store } = this.#parts;
    const resource: Resource | undefined = registry.find(group, version, plural);
    const isKnown =
      subresource === undefined ||
      (resource !== undefined && subresourcesOf(resource).some((each) => each.name === subresource));
    if (resource === undefined || !isKnown || (namespace !== undefined && !resource.namespaced)) throw noSuchPath();
    if (resource.namespaced && namespace === undefined && (name !== undefined || verb === "create"))
      throw badRequest("an empty namespace may not be set when a resource name is provided");
    return { resource, namespace, name, subresource, query, user, userAgent, store, registry, warnings: [], signal };
  }
}

function whyNot(user: User, { plural, group, namespace }: RequestPath, verb: string): string {
  const scope = namespace === undefined ? "at the cluster scope" : `in the namespace ${JSON.stringify(namespace)}`;
  return `User ${JSON.stringify(user.name)} cannot ${verb} resource ${JSON.stringify(plural)} in API group ${JSON.stringify(group)} ${scope}`;
}

const spanAttributes = ({ resource, namespace, name, user }: ResourceRequest): Record<string, string | undefined> => ({
  "k8s.user": user.name,
  "k8s.namespace": namespace,
  ...(resource.plural === "pods" ? { "pod.namespace": namespace, "pod.name": name } : { "k8s.name": name }),
});
