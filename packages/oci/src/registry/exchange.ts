import { Agent as HttpAgent, type IncomingMessage, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { rootCertificates } from "node:tls";
import type { Readable } from "node:stream";
import { TripodError } from "@tripod/base";
import { isLoopback, type RegistryTls } from "./registry-host.ts";

export interface ExchangeRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string | string[]>>;
  /** Small bodies as bytes; large ones as a stream with a Content-Length among the headers. */
  readonly body?: Uint8Array | Readable;
  readonly signal?: AbortSignal | undefined;
}

/** The answer's head; the body is still to be read, or to be destroyed. */
export interface ExchangeReply {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: IncomingMessage;
}

/** A connection that is not made, or on which nothing moves, for so long is given up. */
const defaultIdleMs = 45_000;

/** Sends single requests over kept-alive connections, through HTTP(S)_PROXY when the environment says so (never to loopback). */
export class Exchange implements Disposable {
  readonly #tls: RegistryTls;
  readonly #idleMs: number;
  readonly #agents = new Map<string, HttpAgent>();

  constructor(tls: RegistryTls, options: { readonly idleMs?: number } = {}) {
    this.#tls = tls;
    this.#idleMs = options.idleMs ?? defaultIdleMs;
  }

  #agentFor(url: URL): HttpAgent {
    const direct = isLoopback(url.host);
    const key = `${url.protocol}${direct ? "direct" : "proxied"}`;
    const known = this.#agents.get(key);
    if (known !== undefined) return known;
    const common = { keepAlive: true, maxSockets: 16, ...(direct ? {} : { proxyEnv: process.env }) };
    const { skipVerify, ca, cert, key: clientKey } = this.#tls;
    const agent =
      url.protocol === "http:"
        ? new HttpAgent(common)
        : new HttpsAgent({
            ...common,
            rejectUnauthorized: skipVerify !== true,
            ...(ca === undefined ? {} : { ca: [...rootCertificates, ...ca] }),
            ...(cert === undefined ? {} : { cert, key: clientKey }),
          });
    this.#agents.set(key, agent);
    return agent;
  }

  send({ method, url, headers, body, signal }: ExchangeRequest): Promise<ExchangeReply> {
    return new Promise((resolve, reject) => {
      const secure = url.protocol === "https:";
      const options = {
        method,
        headers: { "user-agent": "tripod/0.1", ...headers },
        agent: this.#agentFor(url),
        timeout: this.#idleMs,
        ...(signal === undefined ? {} : { signal }),
      };
      const request = secure ? httpsRequest(url, options) : httpRequest(url, options);
      request.on("timeout", () => {
        request.destroy(new TripodError("timeout", `${method} ${url.host}: nothing came for ${this.#idleMs / 1000} s`));
      });
      request.on("error", reject);
      request.on("response", (message) => {
        // The body's own errors reach whoever reads it; one that nobody reads must not end the process.
        message.on("error", () => message.destroy());
        resolve({ status: message.statusCode ?? 0, headers: message.headers, body: message });
      });
      if (body === undefined || body instanceof Uint8Array) request.end(body);
      else {
        body.on("error", (error) => request.destroy(error));
        request.on("close", () => body.destroy());
        body.pipe(request);
      }
    });
  }

  [Symbol.dispose](): void {
    for (const agent of this.#agents.values()) agent.destroy();
  }
}

/** Reads a whole body of at most `limit` bytes. */
export async function readBody(body: IncomingMessage, limit: number, what: string): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let size = 0;
  // A body without an encoding yields Buffers.
  for await (const piece of body as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size > limit) {
      body.destroy();
      throw new TripodError("invalid", `${what}: the answer is longer than ${limit} bytes`);
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}
