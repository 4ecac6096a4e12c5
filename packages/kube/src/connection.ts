import { readFile } from "node:fs/promises";
import http from "node:http";
import https from "node:https";
import { messageOf, TripodError } from "@tripod/base";
import { currentTraceparent } from "@tripod/trace";
import { errorOfStatus } from "./kube-error.ts";
import type { KubeConfig } from "./kubeconfig.ts";

export interface RequestOptions {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** From the server's root, for example "/api/v1/nodes". */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  /** Sent as JSON, unless it is bytes. */
  readonly body?: unknown;
  /** "application/json" unless told. */
  readonly contentType?: string;
  readonly accept?: string;
  readonly signal?: AbortSignal;
  /** Until the reply's head has come, and for all of it where it is read whole; 30,000 unless told. */
  readonly timeoutMs?: number;
  /** What errors say was being done; method and path unless told. */
  readonly what?: string;
}

export interface ConnectionOptions {
  readonly userAgent: string;
  /** The largest reply that is read whole, in bytes. */
  readonly maxReplyBytes: number;
}

const mostRetries = 4;

/** HTTP to one API server: connections that are kept, credentials, refusals turned into errors. */
export class Connection implements Disposable {
  readonly #config: KubeConfig;
  readonly #options: ConnectionOptions;
  readonly #base: URL;
  readonly #socketPath: string | undefined;
  readonly #agent: http.Agent;
  /** Streams stay open, so they may not use up the other's sockets. */
  readonly #streamAgent: http.Agent;

  constructor(config: KubeConfig, options: ConnectionOptions) {
    this.#config = config;
    this.#options = options;
    this.#socketPath = config.server.startsWith("unix://") ? config.server.slice("unix://".length) : undefined;
    try {
      this.#base = new URL(this.#socketPath === undefined ? config.server : "http://localhost");
    } catch (cause) {
      throw new TripodError("invalid", `API server ${JSON.stringify(config.server)}: it is no URL`, { cause });
    }
    const keepAlive = { keepAlive: true, keepAliveMsecs: 30_000 };
    if (this.#base.protocol === "https:") {
      const tls: https.AgentOptions = {
        ...(config.ca === undefined ? {} : { ca: config.ca }),
        ...(config.cert === undefined ? {} : { cert: config.cert }),
        ...(config.key === undefined ? {} : { key: config.key }),
        ...(config.tlsServerName === undefined ? {} : { servername: config.tlsServerName }),
        rejectUnauthorized: config.insecureSkipTlsVerify !== true,
      };
      this.#agent = new https.Agent({ ...keepAlive, ...tls, maxSockets: 16, maxFreeSockets: 4 });
      this.#streamAgent = new https.Agent({ ...keepAlive, ...tls, maxFreeSockets: 0 });
    } else {
      this.#agent = new http.Agent({ ...keepAlive, maxSockets: 16, maxFreeSockets: 4 });
      this.#streamAgent = new http.Agent({ ...keepAlive, maxFreeSockets: 0 });
    }
  }

  /** Sends and reads the whole reply, parsed if it is JSON, else text. A refusal is an error; 429 is tried again as it asks. */
  async request(options: RequestOptions): Promise<unknown> {
    const timeout = AbortSignal.timeout(options.timeoutMs ?? 30_000);
    const signal = options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout]);
    for (let attempt = 0; ; attempt += 1) {
      const response = await this.#send(options, this.#agent, signal);
      const bytes = await this.#read(response, options, signal);
      const isJson = response.headers["content-type"]?.includes("json") === true;
      const body = isJson && bytes.length > 0 ? parseJson(bytes, whatOf(options)) : bytes.toString("utf8");
      const httpStatus = response.statusCode ?? 0;
      if (httpStatus < 300) return body;
      const retryAfter = Number(response.headers["retry-after"]);
      if (httpStatus !== 429 || attempt >= mostRetries || !(retryAfter > 0))
        throw errorOfStatus(whatOf(options), httpStatus, body);
      await abortableDelay(Math.min(retryAfter, 10) * 1000, signal);
    }
  }

  /** Sends and returns once the head has come; the caller reads the body, or destroys it. A refusal is an error. */
  async stream(options: RequestOptions): Promise<http.IncomingMessage> {
    const abort = new AbortController();
    const timer = setTimeout(
      () => abort.abort(new DOMException("no reply", "TimeoutError")),
      options.timeoutMs ?? 30_000,
    );
    try {
      const signal = options.signal === undefined ? abort.signal : AbortSignal.any([options.signal, abort.signal]);
      const response = await this.#send(options, this.#streamAgent, signal);
      const httpStatus = response.statusCode ?? 0;
      if (httpStatus < 300) {
        response.socket.setKeepAlive(true, 30_000);
        return response;
      }
      const bytes = await this.#read(response, options, signal);
      const isJson = response.headers["content-type"]?.includes("json") === true;
      throw errorOfStatus(
        whatOf(options),
        httpStatus,
        isJson ? parseJson(bytes, whatOf(options)) : bytes.toString("utf8"),
      );
    } finally {
      clearTimeout(timer);
    }
  }

  async #authorization(): Promise<string | undefined> {
    const { token, tokenFile, username, password } = this.#config;
    const bearer = tokenFile === undefined ? token : (await readFile(tokenFile, "utf8")).trim();
    if (bearer !== undefined) return `Bearer ${bearer}`;
    if (username === undefined) return undefined;
    return `Basic ${Buffer.from(`${username}:${password ?? ""}`).toString("base64")}`;
  }

  async #send(options: RequestOptions, agent: http.Agent, signal: AbortSignal): Promise<http.IncomingMessage> {
    const headers: Record<string, string> = {
      accept: options.accept ?? "application/json",
      "user-agent": this.#options.userAgent,
    };
    const authorization = await this.#authorization();
    if (authorization !== undefined) headers.authorization = authorization;
    const traceparent = currentTraceparent();
    if (traceparent !== undefined) headers.traceparent = traceparent;
    let payload: Uint8Array | undefined;
    if (options.body !== undefined) {
      payload = options.body instanceof Uint8Array ? options.body : Buffer.from(JSON.stringify(options.body));
      headers["content-type"] = options.contentType ?? "application/json";
      headers["content-length"] = String(payload.length);
    }
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.#once(options, agent, headers, payload, signal);
      } catch (error) {
        // A kept connection that the server had closed meanwhile: nothing was read from it, so the request can be sent again.
        if (!(error instanceof StaleConnection) || attempt > mostRetries)
          throw failure(error, options, this.#config.server, signal);
      }
    }
  }

  #once(
    options: RequestOptions,
    agent: http.Agent,
    headers: Record<string, string>,
    payload: Uint8Array | undefined,
    signal: AbortSignal,
  ): Promise<http.IncomingMessage> {
    const path = this.#base.pathname.replace(/\/$/, "") + options.path + queryText(options.query);
    return new Promise((resolve, reject) => {
      const request = (this.#base.protocol === "https:" ? https : http).request({
        agent,
        method: options.method,
        path,
        headers,
        signal,
        ...(this.#socketPath === undefined
          ? { host: this.#base.hostname.replace(/^\[|\]$/g, ""), port: this.#base.port }
          : { socketPath: this.#socketPath }),
      });
      request.once("response", resolve);
      request.once("error", (error: NodeJS.ErrnoException) => {
        const stale = request.reusedSocket && (error.code === "ECONNRESET" || error.code === "EPIPE");
        reject(stale ? new StaleConnection(error) : error);
      });
      request.end(payload);
    });
  }

  async #read(response: http.IncomingMessage, options: RequestOptions, signal: AbortSignal): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let size = 0;
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) {
        // no encoding is set, so chunks are Buffers
        size += chunk.length;
        if (size > this.#options.maxReplyBytes) {
          throw new TripodError(
            "exhausted",
            `${whatOf(options)}: the reply is longer than ${this.#options.maxReplyBytes} bytes; list in pages`,
          );
        }
        chunks.push(chunk);
      }
    } catch (error) {
      throw failure(error, options, this.#config.server, signal);
    }
    return Buffer.concat(chunks, size);
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
    this.#streamAgent.destroy();
  }
}

class StaleConnection extends Error {
  constructor(cause: Error) {
    super(cause.message, { cause });
  }
}

const whatOf = (options: RequestOptions): string => options.what ?? `${options.method} ${options.path}`;

function failure(error: unknown, options: RequestOptions, server: string, signal: AbortSignal): TripodError {
  if (error instanceof TripodError) return error;
  const what = whatOf(options);
  if (options.signal?.aborted) return new TripodError("cancelled", `${what}: cancelled`, { cause: error });
  if (signal.aborted) return new TripodError("timeout", `${what}: no reply from ${server} in time`, { cause: error });
  return new TripodError("unavailable", `${what}: ${server}: ${messageOf(error)}`, { cause: error });
}

function parseJson(bytes: Buffer, what: string): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch (cause) {
    throw new TripodError("corrupt", `${what}: the reply is no JSON: ${messageOf(cause)}`, { cause });
  }
}

function queryText(query: RequestOptions["query"]): string {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(query ?? {})) if (value !== undefined) params.append(key, String(value));
  const text = params.toString();
  return text === "" ? "" : `?${text}`;
}

/** Resolves after `ms`, or rejects with the signal's reason. */
export function abortableDelay(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal.reason instanceof Error ? signal.reason : new TripodError("cancelled", "cancelled while waiting"));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}
