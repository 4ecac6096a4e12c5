import type { IncomingMessage } from "node:http";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Duplex } from "node:stream";
import { TripodError } from "@tripod/base";
import type { ClientTls } from "../types.ts";

/** Where a client connects to. */
export interface StreamingTarget {
  /** The whole URL, query included: a CRI runtime's, or an API server's …/exec?command=…&stdout=true. */
  readonly url: string;
  readonly tls?: ClientTls;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** The longest error body that becomes part of a message. */
const maxErrorBytes = 4096;

/** The result of an accepted upgrade. */
export interface Upgraded {
  readonly response: IncomingMessage;
  readonly socket: Duplex;
}

/** Asks for an upgrade to SPDY/3.1; any answer but 101 is an error that quotes it. */
export function upgradeToSpdy(
  target: StreamingTarget,
  protocols: readonly string[],
  method: "GET" | "POST",
): Promise<Upgraded> {
  const secure = target.url.startsWith("https:");
  return new Promise((resolve, reject) => {
    const request = (secure ? httpsRequest : httpRequest)(target.url, {
      method,
      agent: false,
      ...target.tls,
      ...(target.signal === undefined ? {} : { signal: target.signal }),
      headers: {
        ...target.headers,
        connection: "Upgrade",
        upgrade: "SPDY/3.1",
        "x-stream-protocol-version": [...protocols],
        ...(method === "POST" ? { "content-length": "0" } : {}),
      },
    });
    request.once("error", (cause) =>
      reject(new TripodError("unavailable", `connect for streaming: ${cause.message}`, { cause })),
    );
    request.once("upgrade", (response, socket, head) => {
      if (head.length > 0) socket.unshift(head);
      resolve({ response, socket });
    });
    request.once("response", (response) => {
      void errorOfResponse(response).then(reject);
    });
    request.end();
  });
}

/** The error that a refused upgrade means: its status, and the beginning of its body. */
export async function errorOfResponse(response: IncomingMessage): Promise<TripodError> {
  const { statusCode = 0 } = response;
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of response) {
      chunks.push(chunk as Buffer); // no encoding is set
      size += (chunk as Buffer).length;
      if (size > maxErrorBytes) break;
    }
  } catch {
    chunks.push(Buffer.from(" (answer cut short)"));
  }
  const text = Buffer.concat(chunks).toString("utf8").slice(0, maxErrorBytes).trim();
  const code = statusCode === 404 ? "not-found" : statusCode === 403 ? "permission-denied" : "unavailable";
  return new TripodError(code, `connect for streaming: answered ${statusCode}: ${text}`, { detail: { statusCode } });
}
