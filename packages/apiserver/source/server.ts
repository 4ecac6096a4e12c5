import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import type { Binding, TokenRequest } from "@tripod/api/kubernetes";
import { type Layout, type Logger, messageOf, TripodError } from "@tripod/base";
import { authenticate } from "./auth/authenticate.ts";
import { isAllowed } from "./auth/authorize.ts";
import { Discovery } from "./discovery/serve-discovery.ts";
import { ApiError, badRequest, forbidden, methodNotAllowed, noSuchPath, statusOf } from "./http/api-error.ts";
import { sendBytes, sendError, sendJson } from "./http/reply.ts";
import { parsePath, type RequestPath } from "./http/request-path.ts";
import { bodyObject, serveResource, verbOf } from "./http/serve-resource.ts";
import { ensureNamespaces } from "./registry/core/ensure-namespaces.ts";
import { ObjectStore } from "./registry/object-store.ts";
import { accessReviews } from "./registry/access-reviews.ts";
import { asPod } from "./registry/pods/pod-types.ts";
import type { ResourceDefinition, User } from "./registry/resource.ts";
import { Resources } from "./registry/resources.ts";
import { openPki, type Pki } from "./pki/pki.ts";
import { writeCredentials } from "./pki/write-credentials.ts";
import { SqliteStorage } from "./storage/sqlite-storage.ts";
import { bind } from "./subresources/binding.ts";
import { evict } from "./subresources/eviction.ts";
import { finalizeNamespace } from "./subresources/finalize.ts";
import type { KubeletAddress, KubeletConnection } from "./subresources/kubelet-target.ts";
import { servePodLog } from "./subresources/pod-log.ts";
import { servePodStream } from "./subresources/pod-stream.ts";
import { requestToken } from "./subresources/service-account-token.ts";
import type { ResourceRequest } from "./verbs/request.ts";
import { read } from "./verbs/update.ts";

export interface ApiServerOptions {
  readonly layout: Layout;
  /** "127.0.0.1", say. */
  readonly address: string;
  /** 0: any free one. */
  readonly port: number;
  /** The node for whose kubelet credentials are written. */
  readonly nodeName: string;
  readonly log: Logger;
  /** Where a kubelet is reached, if not where its Node says. */
  readonly kubeletAddress?: KubeletAddress;
}

export interface ApiServer {
  readonly url: string;
  readonly port: number;
  close(): Promise<void>;
}

const streamed = new Set(["exec", "attach", "portforward"]);

/** The API server: every request is authenticated, authorized, then served from the registry. */
class Handler {
  readonly #store: ObjectStore;
  readonly #resources: Resources;
  readonly #discovery: Discovery;
  readonly #pki: Pki;
  readonly #kubelets: KubeletConnection;
  readonly #log: Logger;

  constructor(parts: { store: ObjectStore; resources: Resources; pki: Pki; kubelets: KubeletConnection; log: Logger }) {
    this.#store = parts.store;
    this.#resources = parts.resources;
    this.#discovery = new Discovery(parts.resources);
    this.#pki = parts.pki;
    this.#kubelets = parts.kubelets;
    this.#log = parts.log;
  }

  async onRequest(http: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#serve(http, response);
    } catch (error) {
      const status = statusOf(error);
      if ((status.code ?? 500) >= 500)
        this.#log.error(
          { method: http.method, path: http.url?.split("?")[0], error: messageOf(error) },
          "request failed",
        );
      await sendError(http, response, error);
    }
  }

  onUpgrade(http: IncomingMessage, socket: Duplex, head: Buffer): void {
    try {
      const { path, query, user } = this.#enter(http);
      const parsed = parsePath(path);
      if (parsed === undefined || !streamed.has(parsed.subresource ?? ""))
        throw badRequest("upgrade request required on an exec, attach or portforward path");
      const request = this.#resourceRequest(parsed, query, user, "create");
      servePodStream(http, socket, head, request, asPod(read(request)), this.#kubelets);
    } catch (error) {
      const status = statusOf(error);
      const body = JSON.stringify(status);
      socket.end(
        `HTTP/1.1 ${status.code} ${status.reason}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
      );
    }
  }

  #enter(http: IncomingMessage): { path: string; query: URLSearchParams; user: User } {
    const raw = http.url ?? "/";
    if (raw.length > 64 * 1024) throw badRequest("the URL is too long");
    const at = raw.indexOf("?");
    const user = authenticate(http, this.#pki, this.#store);
    if (user === undefined) throw new ApiError("unauthenticated", 401, "Unauthorized", "Unauthorized");
    return { path: at < 0 ? raw : raw.slice(0, at), query: new URLSearchParams(at < 0 ? "" : raw.slice(at + 1)), user };
  }

  async #serve(http: IncomingMessage, response: ServerResponse): Promise<void> {
    const { path, query, user } = this.#enter(http);
    const parsed = parsePath(path);
    if (parsed === undefined) {
      if (!isAllowed(user, { verb: "get", path }))
        throw forbidden(`User ${JSON.stringify(user.name)} cannot get path ${JSON.stringify(path)}`);
      if (/^\/(healthz|livez|readyz)(\/|$)/.test(path))
        return sendBytes(http, response, Buffer.from("ok"), { contentType: "text/plain" });
      if (http.method === "GET" && (await this.#discovery.serve(http, response, path))) return;
      throw noSuchPath();
    }
    const request = this.#resourceRequest(parsed, query, user, verbOf(http.method ?? "GET", parsed.name, query));
    const { resource, subresource } = request;
    const review = accessReviews.find((each) => each === resource);
    if (review !== undefined) {
      if (http.method !== "POST") throw methodNotAllowed(verbOf(http.method ?? "GET", parsed.name, query));
      return sendJson(http, response, review.answer(await bodyObject(http, request), user), { code: 201 });
    }
    if (subresource !== undefined && subresource !== "status") return this.#serveSubresource(http, response, request);
    return serveResource(http, response, request);
  }

  async #serveSubresource(http: IncomingMessage, response: ServerResponse, request: ResourceRequest): Promise<void> {
    const { resource, subresource } = request;
    const method = http.method ?? "GET";
    const sub = resource.subresources.find((each) => each.name === subresource);
    if (subresource === "log" && method === "GET")
      return servePodLog(http, response, request, asPod(read(request)), this.#kubelets);
    if (streamed.has(subresource ?? "")) throw badRequest("Upgrade request required");
    // Each subresource below is decoded as the kind that its declaration names.
    if (method === "POST" && sub?.kind !== undefined) {
      const body = await bodyObject(http, request, sub.kind);
      if (subresource === "binding")
        return sendJson(http, response, bind(request, body as Binding & typeof body, asPod(read(request))), {
          code: 201,
        });
      if (subresource === "token")
        return sendJson(
          http,
          response,
          requestToken(request, body as unknown as TokenRequest, read(request), this.#pki),
          { code: 201 },
        );
      if (subresource === "eviction")
        return sendJson(http, response, evict(request, body, read(request)), { code: 201 });
    }
    if (subresource === "finalize" && method === "PUT")
      return sendJson(http, response, finalizeNamespace(request, await bodyObject(http, request), read(request)));
    throw methodNotAllowed(`${method} ${subresource}`);
  }

  #resourceRequest(path: RequestPath, query: URLSearchParams, user: User, verb: string): ResourceRequest {
    const { group, version, plural, namespace, name, subresource } = path;
    const resource: ResourceDefinition | undefined = this.#resources.find(group, version, plural);
    const hasSubresource =
      subresource === undefined || resource?.subresources.some((each) => each.name === subresource) === true;
    if (!isAllowed(user, { verb, resource: { group, plural, subresource, namespace, name } })) {
      const what = `${plural}${group === "" ? "" : `.${group}`}${subresource === undefined ? "" : `/${subresource}`}`;
      throw forbidden(
        `${what}${name === undefined ? "" : ` ${JSON.stringify(name)}`} is forbidden: User ${JSON.stringify(user.name)} cannot ${verb} resource ${JSON.stringify(plural)} in API group ${JSON.stringify(group)}${namespace === undefined ? " at the cluster scope" : ` in the namespace ${JSON.stringify(namespace)}`}`,
      );
    }
    if (resource === undefined || !hasSubresource || (namespace !== undefined && !resource.namespaced))
      throw noSuchPath();
    if (resource.namespaced && namespace === undefined && (name !== undefined || verb === "create"))
      throw badRequest("an empty namespace may not be set when a resource name is provided");
    return { resource, namespace, name, subresource, query, user, store: this.#store, warnings: [] };
  }
}

function listen(server: Server, port: number, address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const isTaken = cause.code === "EADDRINUSE";
      reject(
        new TripodError(
          isTaken ? "already-exists" : "unavailable",
          `listen on ${address}:${port} for the API server: ${isTaken ? "the port is taken; end what holds it, or choose another" : cause.message}`,
          { cause },
        ),
      );
    });
    server.listen(port, address, () => {
      const bound = server.address();
      resolve(typeof bound === "object" && bound !== null ? bound.port : port);
    });
  });
}

/** Starts the API server, with its storage, its PKI and the kubeconfigs of those who use it. */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { layout, address, log, nodeName } = options;
  await using stack = new AsyncDisposableStack();
  const pki = await openPki(layout);
  const storage = stack.use(SqliteStorage.open(join(layout.apiserverDir, "state.db")));
  const store = new ObjectStore(storage);
  const resources = new Resources(pki.caCertificate);
  ensureNamespaces(store, pki.caCertificate);
  const serving = await pki.keep("apiserver", {
    commonName: "kube-apiserver",
    sans: ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "127.0.0.1", address],
    usage: "server",
  });
  const client = await pki.keep("apiserver-kubelet-client", {
    commonName: "kube-apiserver-kubelet-client",
    organizations: ["system:masters"],
    usage: "client",
  });
  const kubelets: KubeletConnection = {
    address: options.kubeletAddress,
    tls: { ca: pki.caCertificate, cert: client.certificate, key: client.privateKey },
  };
  const handler = new Handler({ store, resources, pki, kubelets, log });
  const server = createServer(
    {
      cert: serving.certificate,
      key: serving.privateKey,
      ca: pki.caCertificate,
      requestCert: true,
      rejectUnauthorized: false,
      minVersion: "TLSv1.2",
      ALPNProtocols: ["http/1.1"],
      keepAliveTimeout: 120_000,
      requestTimeout: 120_000,
    },
    (http, response) => void handler.onRequest(http, response),
  );
  server.on("upgrade", (http, socket, head) => handler.onUpgrade(http, socket, head));
  server.on("tlsClientError", () => {}); // a client that does not trust us, or speaks no TLS; it was told
  const port = await listen(server, options.port, address);
  stack.defer(async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
  });
  const url = `https://${address}:${port}`;
  await writeCredentials(pki, layout, url, nodeName);
  const owned = stack.move();
  log.info({ url }, "API server listens");
  return { url, port, close: () => owned.disposeAsync() };
}
