import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { statusOf } from "./api-error.ts";

const compress = promisify(gzip);
/** Smaller replies are not worth compressing, in bytes. */
const compressAbove = 128 * 1024;

export interface ReplyOptions {
  readonly code?: number;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly warnings?: readonly string[];
}

const quoted = (text: string): string => `"${text.replaceAll(/[\r\n]/g, " ").replaceAll(/["\\]/g, "\\$&")}"`;

/** Sends bytes, gzipped where they are many and the client takes it. */
export async function sendBytes(
  request: IncomingMessage,
  response: ServerResponse,
  bytes: Buffer,
  options: ReplyOptions = {},
): Promise<void> {
  const headers: Record<string, string | string[]> = {
    "content-type": options.contentType ?? "application/json",
    "cache-control": "no-cache, private",
    ...options.headers,
  };
  if (options.warnings !== undefined && options.warnings.length > 0)
    headers.warning = options.warnings.map((text) => `299 - ${quoted(text)}`);
  let body = bytes;
  if (bytes.length > compressAbove && /\bgzip\b/.test(String(request.headers["accept-encoding"] ?? ""))) {
    body = await compress(bytes, { level: 1 });
    headers["content-encoding"] = "gzip";
    headers.vary = "Accept-Encoding";
  }
  headers["content-length"] = String(body.length);
  response.writeHead(options.code ?? 200, headers);
  response.end(body);
}

export const sendJson = (
  request: IncomingMessage,
  response: ServerResponse,
  value: unknown,
  options: ReplyOptions = {},
): Promise<void> => sendBytes(request, response, Buffer.from(`${JSON.stringify(value)}\n`), options);

/** Answers with the Status of an error; where the head is out already, breaks the connection. */
export async function sendError(request: IncomingMessage, response: ServerResponse, error: unknown): Promise<void> {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const status = statusOf(error);
  await sendJson(request, response, status, { code: status.code ?? 500 });
}

/** Writes JSON lines as they come, no faster than the client reads. */
export async function sendLines(response: ServerResponse, frames: AsyncIterable<unknown>): Promise<void> {
  response.writeHead(200, {
    "content-type": "application/json",
    "cache-control": "no-cache, private",
    "transfer-encoding": "chunked",
  });
  response.flushHeaders();
  for await (const frame of frames) {
    if (response.destroyed) return;
    if (!response.write(`${JSON.stringify(frame)}\n`))
      await Promise.race([once(response, "drain"), once(response, "close")]);
  }
  response.end();
}
