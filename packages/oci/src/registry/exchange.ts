import { Agent as HttpAgent, type IncomingMessage, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { rootCertificates } from "node:tls";
import type { Readable } from "node:stream";
import { TripodError } from "@tripod/base";
import type { RegistryTls } from "./registry-host.ts";

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

/** A connection on which nothing moves for so long is given up. */
const idleMs = 60_000;
const connectMs = 30_000;

/** Sends single requests over kept-alive connections, through HTTP(S)_PROXY when the environment says so. */
export class Exchange implements Disposable {
  readonly #http: HttpAgent;
  readonly #https: HttpsAgent;

  constructor(tls: RegistryTls) {
    const common = { keepAlive: true, maxSockets: 16, proxyEnv: process.env };
    this.#http = new HttpAgent(common);
    this.#https = new HttpsAgent({
      ...common,
      rejectUnauthorized: tls.skipVerify !== true,
      ...(tls.ca === undefined ? {} : { ca: [...rootCertificates, ...tls.ca] }),
      ...(tls.cert === undefined ? {} : { cert: tls.cert, key: tls.key }),
    });
  }

  send({ method, url, headers, body, signal }: ExchangeRequest): Promise<ExchangeReply> {
    return new Promise((resolve, reject) => {
      const secure = url.protocol === "https:";
      const options = {
        method,
        headers: { "user-agent": "tripod/0.1", ...headers },
        agent: secure ? this.#https : this.#http,
        ...(signal === undefined ? {} : { signal }),
      };
      const request = secure ? httpsRequest(url, options) : httpRequest(url, options);
      request.on("socket", (socket) => {
        if (socket.connecting) socket.setTimeout(connectMs);
        socket.once("connect", () => socket.setTimeout(idleMs));
      });
      request.on("timeout", () => {
        request.destroy(new TripodError("timeout", `${method} ${url.host}: no answer for ${idleMs / 1000} s`));
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
    this.#http.destroy();
    this.#https.destroy();
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
