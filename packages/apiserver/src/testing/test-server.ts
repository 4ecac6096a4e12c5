import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type IncomingHttpHeaders, type IncomingMessage, request as httpRequest } from "node:http";
import { Agent, request as httpsRequest } from "node:https";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { type Layout, layoutOf, silentLogger } from "@tripod/base";
import { parse } from "yaml";
import { type ApiServer, type ApiServerOptions, startApiServer } from "../start-api-server.ts";

/** A JSON reply as tests look at it: any field, at any depth. What is there in truth, assertions say. */
export interface Json {
  readonly [key: string]: Json;
}

/** A field that the test knows to be a list of `T`. */
export const listOf = <T>(value: unknown): readonly T[] => (Array.isArray(value) ? value : []);

/** The text of a field. */
export const textOf = (value: unknown): string => String(value);

export interface Reply {
  readonly code: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The body as JSON. */
  readonly body: Json;
}

export interface CallOptions {
  /** An object becomes JSON; text and bytes go as they are. */
  readonly body?: object | string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  /** "admin" unless told; "nobody" shows no certificate. */
  readonly as?: "admin" | "kubelet" | "controllers" | "nobody";
}

export interface WatchEvent {
  readonly type: string;
  readonly object: Json;
}

interface Kubeconfig {
  readonly clusters: readonly { readonly cluster: { readonly "certificate-authority-data": string } }[];
  readonly users: readonly {
    readonly user: { readonly "client-certificate-data": string; readonly "client-key-data": string };
  }[];
}

/** A real API server in a folder of its own, and a client that says exactly what a test wants said. */
export class TestServer implements AsyncDisposable {
  readonly layout: Layout;
  readonly #root: string;
  readonly #options: Partial<ApiServerOptions>;
  readonly #agents = new Map<string, Agent>();
  #server: ApiServer;

  private constructor(root: string, server: ApiServer, options: Partial<ApiServerOptions>) {
    this.#root = root;
    this.layout = layoutOf(root);
    this.#server = server;
    this.#options = options;
  }

  static async start(options: Partial<ApiServerOptions> = {}): Promise<TestServer> {
    const root = mkdtempSync("/tmp/tripod-api-");
    try {
      return new TestServer(root, await TestServer.#open(root, 0, options), options);
    } catch (error) {
      rmSync(root, { recursive: true, force: true });
      throw error;
    }
  }

  static #open(root: string, port: number, options: Partial<ApiServerOptions>): Promise<ApiServer> {
    const layout = layoutOf(root);
    return startApiServer({ layout, address: "127.0.0.1", port, nodeName: "node-a", log: silentLogger, ...options });
  }

  get url(): string {
    return this.#server.url;
  }

  get port(): number {
    return this.#server.port;
  }

  /** Stops the server and starts it again on what it kept, on the same port. */
  async restart(): Promise<void> {
    const { port } = this.#server;
    await this.#server.close();
    this.#server = await TestServer.#open(this.#root, port, this.#options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const agent of this.#agents.values()) agent.destroy();
    await this.#server.close();
    rmSync(this.#root, { recursive: true, force: true });
  }

  async call(method: string, path: string, options: CallOptions = {}): Promise<Reply> {
    const response = await this.open(method, path, options);
    const chunks: Buffer[] = [];
    for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk); // no encoding is set
    const text = Buffer.concat(chunks).toString();
    let body: Json = {};
    if (/json/.test(response.headers["content-type"] ?? "") && response.headers["content-encoding"] === undefined)
      body = JSON.parse(text);
    return { code: response.statusCode ?? 0, headers: response.headers, text, body };
  }

  get = (path: string, options?: CallOptions): Promise<Reply> => this.call("GET", path, options);
  post = (path: string, body: object, options?: CallOptions): Promise<Reply> =>
    this.call("POST", path, { ...options, body });
  put = (path: string, body: object, options?: CallOptions): Promise<Reply> =>
    this.call("PUT", path, { ...options, body });
  delete = (path: string, body: object = {}, options?: CallOptions): Promise<Reply> =>
    this.call("DELETE", path, { ...options, body });
  patch = (
    path: string,
    kind: "json" | "merge" | "strategic-merge",
    body: object,
    options?: CallOptions,
  ): Promise<Reply> =>
    this.call("PATCH", path, {
      ...options,
      body,
      headers: { "content-type": `application/${kind}-patch+json`, ...options?.headers },
    });

  /** The events of a watch, until `signal` aborts or the server ends it. */
  async *watch(
    path: string,
    options: CallOptions & { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<WatchEvent, void> {
    const response = await this.open("GET", path, options);
    const end = (): void => void response.destroy();
    options.signal?.addEventListener("abort", end, { once: true });
    try {
      if (response.statusCode !== 200) {
        const text = (await Array.fromAsync(response as AsyncIterable<Buffer>)).join(""); // no encoding is set
        throw new Error(`${response.statusCode}: ${text}`);
      }
      for await (const line of createInterface({ input: response })) yield JSON.parse(line);
    } finally {
      response.destroy();
    }
  }

  open(method: string, path: string, options: CallOptions = {}): Promise<IncomingMessage> {
    const { body, headers = {}, as = "admin" } = options;
    const isPlain = body === undefined || typeof body === "string" || body instanceof Uint8Array;
    const bytes = isPlain ? body : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const outgoing = httpsRequest({
        host: "127.0.0.1",
        port: this.port,
        // As it is: an URL would be tidied first.
        path,
        method,
        agent: this.#agent(as),
        headers: {
          ...(isPlain ? {} : { "content-type": "application/json" }),
          // Node sends the body of a DELETE without either length or chunks unless told.
          ...(bytes === undefined ? {} : { "content-length": String(Buffer.byteLength(bytes)) }),
          ...headers,
        },
      });
      outgoing.once("response", resolve);
      outgoing.once("error", reject);
      outgoing.end(bytes);
    });
  }

  #agent(as: NonNullable<CallOptions["as"]>): Agent {
    const known = this.#agents.get(as);
    if (known !== undefined) return known;
    const path =
      as === "admin" || as === "nobody" ? this.layout.kubeconfig : join(this.layout.pkiDir, `${as}.kubeconfig`);
    const config: Kubeconfig = parse(readFileSync(path, "utf8"));
    const decode = (text: string | undefined): string => Buffer.from(text ?? "", "base64").toString();
    const user = config.users[0]?.user;
    const agent = new Agent({
      keepAlive: true,
      ca: decode(config.clusters[0]?.cluster["certificate-authority-data"]),
      ...(as === "nobody"
        ? {}
        : { cert: decode(user?.["client-certificate-data"]), key: decode(user?.["client-key-data"]) }),
    });
    this.#agents.set(as, agent);
    return agent;
  }
}

/** Speaks plain HTTP to the TLS port, which is answered by a closed connection. */
export const plainRequest = (port: number): Promise<unknown> =>
  new Promise((resolve) => {
    httpRequest({ port, host: "127.0.0.1" }).once("error", resolve).once("response", resolve).end();
  });

/** A Pod of one container. */
export const testPod = (name: string, spec: object = {}, metadata: object = {}): object => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, ...metadata },
  spec: { containers: [{ name: "main", image: "busybox:1" }], ...spec },
});

export const testConfigMap = (name: string, data: Record<string, string> = {}, metadata: object = {}): object => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, ...metadata },
  data,
});
