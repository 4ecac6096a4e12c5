import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { writeFileSync } from "node:fs";
import { randomUUID } from "node:crypto";
import {
  kindSchema,
  type KubernetesObject,
  matchesFields,
  mergePatch,
  messageSchema,
  type ObjectMeta,
  parseFieldSelector,
  strategicMergePatch,
} from "@tripod/api/kubernetes";

type Stored = KubernetesObject & {
  metadata: ObjectMeta;
  spec?: Record<string, unknown>;
  status?: Record<string, unknown>;
};

interface Watcher {
  readonly collection: string;
  readonly namespace: string | undefined;
  readonly selected: (object: Stored) => boolean;
  readonly send: (type: string, object: Stored) => void;
}

interface Target {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

/** The kinds that a kubelet touches. */
const kinds: Readonly<Record<string, string>> = {
  pods: "Pod",
  nodes: "Node",
  events: "Event",
  configmaps: "ConfigMap",
  secrets: "Secret",
  serviceaccounts: "ServiceAccount",
  leases: "Lease",
  persistentvolumes: "PersistentVolume",
  persistentvolumeclaims: "PersistentVolumeClaim",
  volumeattachments: "VolumeAttachment",
  csidrivers: "CSIDriver",
  csinodes: "CSINode",
  runtimeclasses: "RuntimeClass",
  services: "Service",
};

function parsePath(path: string): Target | undefined {
  const match =
    /^\/(?:api|apis\/([^/]+))\/([^/]+)(?:\/namespaces\/([^/]+))?\/([^/]+)(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(path);
  const [, group = "", version, namespace, plural, name, subresource] = match ?? [];
  return version === undefined || plural === undefined
    ? undefined
    : { group, version, plural, namespace, name, subresource };
}

const fieldOf = (object: unknown, path: string): string => {
  let value: unknown = object;
  for (const part of path.split(".")) value = (value as Record<string, unknown> | undefined)?.[part]; // plain JSON
  return value === undefined ? "" : String(value as string); // selectors are used on texts alone
};

const schemaFor = ({ group, version, plural }: Target) =>
  messageSchema(kindSchema({ group, version, kind: kinds[plural] ?? "" })?.message ?? "");

class Refusal extends Error {
  readonly code: number;
  readonly reason: string;

  constructor(code: number, reason: string, message: string) {
    super(message);
    this.code = code;
    this.reason = reason;
  }
}

/** An API server of a test's own: objects in memory, with watches, patches and the graceful deletion of Pods. */
export class MemoryApi implements AsyncDisposable {
  readonly #collections = new Map<string, Map<string, Stored>>();
  readonly #watchers = new Set<Watcher>();
  readonly #server = createServer((request, response) => void this.#serve(request, response));
  /** Whom to send away, by verb ("list" is watch too) and resource. */
  forbidden: (verb: "list" | "get", plural: string) => boolean = () => false;
  #version = 0;
  #tokens = 0;

  static async start(kubeconfigPath: string): Promise<MemoryApi> {
    const api = new MemoryApi();
    await new Promise<void>((resolve) => api.#server.listen(0, "127.0.0.1", resolve));
    const { port } = api.#server.address() as AddressInfo; // a TCP server's address
    const config = {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "test", cluster: { server: `http://127.0.0.1:${port}` } }],
      users: [{ name: "test", user: {} }],
      contexts: [{ name: "test", context: { cluster: "test", user: "test" } }],
      "current-context": "test",
    };
    writeFileSync(kubeconfigPath, JSON.stringify(config));
    return api;
  }

  #collection(plural: string): Map<string, Stored> {
    const found = this.#collections.get(plural) ?? new Map<string, Stored>();
    this.#collections.set(plural, found);
    return found;
  }

  /** Everything of a kind. */
  list<T = Stored>(plural: string): T[] {
    return [...this.#collection(plural).values()] as T[]; // the test knows what it asks for
  }

  get<T = Stored>(plural: string, key: string): T | undefined {
    return this.#collection(plural).get(key) as T | undefined; // as above
  }

  /** Puts an object in as a client would create it. */
  create<T extends KubernetesObject>(plural: string, object: T): T {
    const { metadata } = object;
    const key = metadata.namespace === undefined ? `${metadata.name}` : `${metadata.namespace}/${metadata.name}`;
    if (this.#collection(plural).has(key)) throw new Refusal(409, "AlreadyExists", `${plural} "${key}" already exists`);
    const created = {
      apiVersion: "v1",
      kind: kinds[plural] ?? "Unknown",
      ...object,
      metadata: { uid: randomUUID(), creationTimestamp: new Date().toISOString(), ...metadata },
    };
    this.#store("ADDED", plural, key, created as Stored);
    return this.get<T>(plural, key) as T; // stored on the line above
  }

  /** Replaces an object as a client would. */
  update(plural: string, key: string, change: (object: Stored) => Stored): void {
    const found = this.get(plural, key);
    if (found === undefined) throw new Refusal(404, "NotFound", `${plural} "${key}" not found`);
    this.#store("MODIFIED", plural, key, change(structuredClone(found)));
  }

  /** Deletes as a client would: a Pod on a node waits for its kubelet. */
  delete(plural: string, key: string, graceSeconds?: number): Stored {
    const found = this.get(plural, key);
    if (found === undefined) throw new Refusal(404, "NotFound", `${plural} "${key}" not found`);
    const grace = graceSeconds ?? Number(found.spec?.["terminationGracePeriodSeconds"] ?? 30);
    if (plural === "pods" && grace > 0 && found.spec?.["nodeName"] !== undefined) {
      const deletionTimestamp = new Date(Date.now() + grace * 1000).toISOString();
      const metadata = { ...found.metadata, deletionTimestamp, deletionGracePeriodSeconds: grace };
      return this.#store("MODIFIED", plural, key, { ...found, metadata });
    }
    this.#collection(plural).delete(key);
    return this.#tell("DELETED", plural, found);
  }

  #store(type: string, plural: string, key: string, object: Stored): Stored {
    const stored = this.#tell(type, plural, object);
    this.#collection(plural).set(key, stored);
    return stored;
  }

  #tell(type: string, plural: string, object: Stored): Stored {
    this.#version += 1;
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(this.#version) } };
    for (const watcher of this.#watchers) {
      const inside = watcher.namespace === undefined || watcher.namespace === stored.metadata.namespace;
      if (watcher.collection === plural && inside && watcher.selected(stored)) watcher.send(type, stored);
    }
    return stored;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://api");
    try {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer); // no encoding is set
      const text = Buffer.concat(chunks).toString("utf8");
      const body: unknown = text === "" ? undefined : JSON.parse(text);
      if (url.pathname === "/api/v1")
        return this.#send(response, { kind: "APIResourceList", groupVersion: "v1", resources: [] });
      const target = parsePath(url.pathname);
      if (target === undefined) throw new Refusal(404, "NotFound", `no ${url.pathname}`);
      if (request.method === "GET" && this.forbidden(target.name === undefined ? "list" : "get", target.plural))
        throw new Refusal(403, "Forbidden", `${target.plural} are not for this node`);
      if (url.searchParams.get("watch") === "true") return this.#watch(target, url, response);
      this.#send(
        response,
        this.#answer(request.method ?? "GET", target, url, body, request.headers["content-type"] ?? ""),
      );
    } catch (error) {
      const { code, reason } = error instanceof Refusal ? error : { code: 500, reason: "InternalError" };
      const message = error instanceof Error ? error.message : String(error);
      response.writeHead(code, { "content-type": "application/json" });
      response.end(JSON.stringify({ kind: "Status", apiVersion: "v1", status: "Failure", code, reason, message }));
    }
  }

  #send(response: ServerResponse, value: unknown): void {
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify(value));
  }

  #answer(method: string, target: Target, url: URL, body: unknown, contentType: string): unknown {
    const { plural, namespace, name, subresource } = target;
    const key = namespace === undefined ? `${name}` : `${namespace}/${name}`;
    if (plural === "serviceaccounts" && subresource === "token") {
      this.#tokens += 1;
      const expirationTimestamp = new Date(Date.now() + 3_600_000).toISOString();
      return { kind: "TokenRequest", status: { token: `token-${this.#tokens}`, expirationTimestamp } };
    }
    if (method === "POST") {
      const object = body as Stored; // the client under test sends objects
      return this.create(plural, {
        ...object,
        metadata: { ...object.metadata, ...(namespace === undefined ? {} : { namespace }) },
      });
    }
    if (name === undefined) {
      const selected = this.#selector(url);
      const items = this.list(plural).filter(
        (each) => selected(each) && (namespace === undefined || each.metadata.namespace === namespace),
      );
      return {
        kind: `${kinds[plural]}List`,
        apiVersion: "v1",
        metadata: { resourceVersion: String(this.#version) },
        items,
      };
    }
    const found = this.get(plural, key);
    if (found === undefined) throw new Refusal(404, "NotFound", `${plural} "${key}" not found`);
    if (method === "GET") return found;
    if (method === "DELETE") {
      const options = (body ?? {}) as { gracePeriodSeconds?: number; preconditions?: { uid?: string } }; // as above
      if (options.preconditions?.uid !== undefined && options.preconditions.uid !== found.metadata.uid) {
        throw new Refusal(409, "Conflict", "another uid");
      }
      return this.delete(plural, key, options.gracePeriodSeconds);
    }
    if (method === "PUT") {
      const object = body as Stored; // as above
      if (
        object.metadata.resourceVersion !== undefined &&
        object.metadata.resourceVersion !== found.metadata.resourceVersion
      ) {
        throw new Refusal(409, "Conflict", "the object has been modified");
      }
      return this.#store("MODIFIED", plural, key, object);
    }
    const strategic = contentType.includes("strategic");
    const patched = (
      strategic ? strategicMergePatch(schemaFor(target), found, body) : mergePatch(found, body)
    ) as Stored; // a patched object stays one
    if (patched.metadata.uid !== found.metadata.uid) throw new Refusal(409, "Conflict", "another uid");
    const kept =
      subresource === "status"
        ? { ...found, status: patched.status ?? {} }
        : { ...patched, ...(found.status === undefined ? {} : { status: found.status }) };
    return this.#store("MODIFIED", plural, key, kept);
  }

  #selector(url: URL): (object: Stored) => boolean {
    const requirements = parseFieldSelector(url.searchParams.get("fieldSelector") ?? "");
    return (object) => matchesFields(requirements, (path) => fieldOf(object, path));
  }

  #watch(target: Target, url: URL, response: ServerResponse): void {
    response.writeHead(200, { "content-type": "application/json" });
    response.flushHeaders();
    const selected = this.#selector(url);
    const send = (type: string, object: Stored): void => void response.write(`${JSON.stringify({ type, object })}\n`);
    const watcher: Watcher = { collection: target.plural, namespace: target.namespace, selected, send };
    this.#watchers.add(watcher);
    response.on("close", () => this.#watchers.delete(watcher));
    // What was written between the client's list and this watch.
    const since = Number(url.searchParams.get("resourceVersion") ?? 0);
    for (const object of this.list(target.plural)) {
      const inside = target.namespace === undefined || target.namespace === object.metadata.namespace;
      if (inside && selected(object) && Number(object.metadata.resourceVersion) > since) send("MODIFIED", object);
    }
  }

  /** Resolves with the object once `condition` holds for it; `undefined` is passed while there is none. */
  async until<T = Stored>(
    plural: string,
    key: string,
    condition: (object: T | undefined) => boolean,
    timeoutMs = 30_000,
  ): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const check = (): void => {
      const now = this.get<T>(plural, key);
      if (condition(now)) resolve(now as T); // the condition has seen it
    };
    const watcher: Watcher = {
      collection: plural,
      namespace: undefined,
      selected: () => true,
      send: () => queueMicrotask(check),
    };
    const timer = setTimeout(() => {
      reject(
        new Error(
          `${plural} ${key}: not as expected after ${timeoutMs} ms: ${JSON.stringify(this.get(plural, key)?.status)}`,
        ),
      );
    }, timeoutMs);
    this.#watchers.add(watcher);
    check();
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#watchers.delete(watcher);
    }
  }

  /** Resolves once `condition` holds, looked at after every change of the collection. */
  async changed(plural: string, condition: () => boolean): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const check = (): void => {
      if (condition()) resolve();
    };
    const send = (): void => queueMicrotask(check);
    const watcher: Watcher = { collection: plural, namespace: undefined, selected: () => true, send };
    this.#watchers.add(watcher);
    check();
    await promise;
    this.#watchers.delete(watcher);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }
}
