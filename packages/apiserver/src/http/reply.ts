import type { IncomingMessage, ServerResponse } from "node:http";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { statusOf } from "./api-error.ts";

const compress = promisify(gzip);
/** Smaller replies are not worth compressing, in bytes. */
const compressAbove = 128 * 1024;

/** A request and where its reply goes. */
export interface Exchange {
  readonly http: IncomingMessage;
  readonly response: ServerResponse;
}

export interface ReplyOptions {
  readonly code?: number;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly warnings?: readonly string[];
}

/** All Warning headers of a reply together, in characters; upstream cuts at the same length. */
const longestWarnings = 4096;

/** A text as a quoted string of a header, which may hold printable ASCII alone. */
const quoted = (text: string): string => {
  const printable = text.replaceAll(/[^ -~]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
  return `"${printable.replaceAll(/["\\]/g, "\\$&")}"`;
};

function warningHeaders(warnings: readonly string[]): string[] {
  const headers: string[] = [];
  let left = longestWarnings;
  for (const text of warnings) {
    const header = `299 - ${quoted(text)}`;
    left -= header.length;
    if (left < 0) break;
    headers.push(header);
  }
  return headers;
}

/** Sends bytes, gzipped where they are many and the client takes it. */
export async function sendBytes(
  { http, response }: Exchange,
  bytes: Buffer,
  options: ReplyOptions = {},
): Promise<void> {
  const headers: Record<string, string | string[]> = {
    "content-type": options.contentType ?? "application/json",
    "cache-control": "no-cache, private",
    ...options.headers,
  };
  if (options.warnings !== undefined && options.warnings.length > 0) headers.warning = warningHeaders(options.warnings);
  let body = bytes;
  if (bytes.length > compressAbove && /\bgzip\b/.test(String(http.headers["accept-encoding"] ?? ""))) {
    body = await compress(bytes, { level: 1 });
    headers["content-encoding"] = "gzip";
    headers.vary = "Accept-Encoding";
  }
  headers["content-length"] = String(body.length);
  response.writeHead(options.code ?? 200, headers);
  response.end(body);
}

/** Sends JSON text. */
export const sendText = (exchange: Exchange, text: string, options: ReplyOptions = {}): Promise<void> =>
  sendBytes(exchange, Buffer.from(`${text}\n`), options);

export const sendJson = (exchange: Exchange, value: unknown, options: ReplyOptions = {}): Promise<void> =>
  sendText(exchange, JSON.stringify(value), options);

/** Answers with the Status of an error; where the head is out already, breaks the connection. */
export async function sendError(exchange: Exchange, error: unknown): Promise<void> {
  const { response, http } = exchange;
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const status = statusOf(error);
  // What of a refused body is still to come is not read.
  const headers: Record<string, string> = http.complete ? {} : { connection: "close" };
  if (status.code === 429 || status.code === 503) headers["retry-after"] = "1";
  await sendJson(exchange, status, { code: status.code, headers });
}

/** Writes texts as they come, no faster than the client reads. */
export async function sendLines({ response }: Exchange, lines: AsyncIterable<string>): Promise<void> {
  response.writeHead(200, {
    "content-type": "application/json",
    "cache-control": "no-cache, private",
    "transfer-encoding": "chunked",
  });
  response.flushHeaders();
  for await (const line of lines) {
    if (response.destroyed) return;
    if (!response.write(line)) await drained(response);
  }
  response.end();
}

/** A client that reads nothing for so long is cut off, so that what waits for it does not wait forever. */
const longestStallMs = 60_000;

/** Resolves when the reply takes more, or is over. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const stalled = setTimeout(() => response.destroy(), longestStallMs);
    const done = (): void => {
      clearTimeout(stalled);
      response.off("drain", done);
      response.off("close", done);
      resolve();
    };
    response.once("drain", done);
    response.once("close", done);
  });
}
