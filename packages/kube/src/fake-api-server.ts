import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What the fake keeps: ConfigMap-like objects of one namespace. */
interface Item {
  metadata: { name: string; namespace: string; uid: string; resourceVersion: string; creationTimestamp: string };
  data?: Record<string, string>;
}

/**
 * A small real HTTP server with just enough of the API for tests of the client side: list and watch of configmaps, and whatever a
 * test scripts. Not an API server; packages/apiserver is one.
 */
export class FakeApiServer implements AsyncDisposable {
  readonly items = new Map<string, Item>();
  /** Every request's method and URL. */
  readonly requests: string[] = [];
  readonly #watchers = new Set<ServerResponse>();
  readonly #server = createServer((request, response) => void this.#answer(request, response));
  /** Watches from a version before this are answered with 410. */
  oldestVersion = 0;
  /** Takes a request over; true when it did. */
  script: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
  #version = 0;
  #uid = 0;
  #watching: (() => void)[] = [];

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`; // a TCP server
  }

  put(name: string, data: Record<string, string> = {}): void {
    this.#version += 1;
    const known = this.items.get(name);
    this.#uid += known === undefined ? 1 : 0;
    const uid = known?.metadata.uid ?? `uid-${this.#uid}`;
    const metadata = {
      name,
      namespace: "default",
      uid,
      resourceVersion: String(this.#version),
      creationTimestamp: "2024-01-01T00:00:00Z",
    };
    const item = { metadata, data };
    this.items.set(name, item);
    this.#send({ type: known === undefined ? "ADDED" : "MODIFIED", object: item });
  }

  remove(name: string, options: { readonly silently?: boolean } = {}): void {
    const item = this.items.get(name);
    if (item === undefined) return;
    this.#version += 1;
    this.items.delete(name);
    if (options.silently === true) return;
    this.#send({
      type: "DELETED",
      object: { ...item, metadata: { ...item.metadata, resourceVersion: String(this.#version) } },
    });
  }

  /** Breaks every watch in the middle. */
  breakWatches(): void {
    for (const watcher of this.#watchers) watcher.destroy();
  }

  get version(): number {
    return this.#version;
  }

  /** Resolves when somebody watches. */
  async watched(): Promise<void> {
    if (this.#watchers.size > 0) return;
    await new Promise<void>((resolve) => this.#watching.push(resolve));
  }

  #send(event: object): void {
    for (const watcher of this.#watchers) watcher.write(`${JSON.stringify(event)}\n`);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests.push(`${request.method} ${request.url}`);
    if (this.script?.(request, response) === true) return;
    response.setHeader("content-type", "application/json");
    const url = new URL(request.url ?? "/", "http://fake");
    if (url.searchParams.get("watch") !== "true") {
      const limit = Number(url.searchParams.get("limit") ?? 0);
      const start = Number(url.searchParams.get("continue") ?? 0);
      const all = [...this.items.values()];
      const end = limit > 0 ? Math.min(all.length, start + limit) : all.length;
      const more = end < all.length ? { continue: String(end) } : {};
      const metadata = { resourceVersion: String(this.#version), ...more };
      response.end(JSON.stringify({ kind: "ConfigMapList", apiVersion: "v1", metadata, items: all.slice(start, end) }));
      return;
    }
    if (Number(url.searchParams.get("resourceVersion") ?? 0) < this.oldestVersion) {
      const object = {
        kind: "Status",
        status: "Failure",
        reason: "Expired",
        message: "too old resource version",
        code: 410,
      };
      response.end(`${JSON.stringify({ type: "ERROR", object })}\n`);
      return;
    }
    response.flushHeaders();
    this.#watchers.add(response);
    response.on("close", () => this.#watchers.delete(response));
    for (const wake of this.#watching.splice(0)) wake();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
