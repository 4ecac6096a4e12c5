import { type IncomingMessage, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Duplex } from "node:stream";
import { refuseUpgrade } from "./refuse-upgrade.ts";
import type { ClientTls } from "./types.ts";

export interface UpgradeTarget {
  /** The whole URL to ask, query included. */
  readonly url: string;
  readonly tls?: ClientTls;
  /** Added to the request, in place of the client's own of the same name. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface ProxyUpgradeOptions {
  /** Breaks the tunnel when aborted. */
  readonly signal?: AbortSignal;
  /** How long the upstream may take to answer; 30,000 unless told. */
  readonly answerTimeoutMs?: number;
}

/** Headers that belong to one hop, or prove who the client is to us and to nobody else. */
const notPassedOn = new Set([
  "host",
  "connection",
  "upgrade",
  "keep-alive",
  "proxy-connection",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "content-length",
  "authorization",
  "cookie",
]);

/**
 * Asks `target` for the same upgrade that a client asked of us, and joins the two connections byte by byte. An answer other than 101 goes to
 * the client with its body, and the connection ends: nothing that the client sends afterwards reaches the upstream. An upstream that cannot
 * be reached is a 502. Resolves when both connections are over; never rejects.
 */
export function proxyUpgrade(
  request: IncomingMessage,
  client: Duplex,
  head: Buffer,
  target: UpgradeTarget,
  options: ProxyUpgradeOptions = {},
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (Number(request.headers["content-length"] ?? 0) > 0 || request.headers["transfer-encoding"] !== undefined) {
    client.once("close", resolve);
    refuseUpgrade(client, 400, "an upgrade request has no body\n");
    return promise;
  }
  const secure = target.url.startsWith("https:");
  const upstreamRequest = (secure ? httpsRequest : httpRequest)(target.url, {
    method: request.method,
    agent: false,
    ...target.tls,
    headers: { ...passedHeaders(request), ...target.headers, connection: "Upgrade", upgrade: request.headers.upgrade },
  });
  const timer = setTimeout(
    () => upstreamRequest.destroy(new Error("no answer in time")),
    options.answerTimeoutMs ?? 30_000,
  );
  let answered = false;
  const abort = (): void => {
    upstreamRequest.destroy();
    client.destroy();
  };
  if (options.signal?.aborted) abort();
  options.signal?.addEventListener("abort", abort, { once: true });
  client.on("error", () => client.destroy());
  client.once("close", () => {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", abort);
    upstreamRequest.destroy();
    resolve();
  });
  upstreamRequest.once("upgrade", (response, upstream, firstBytes) => {
    answered = true;
    clearTimeout(timer);
    client.write(responseHead(response));
    if (firstBytes.length > 0) upstream.unshift(firstBytes);
    if (head.length > 0) client.unshift(head);
    join(client, upstream);
  });
  upstreamRequest.once("response", (response) => {
    answered = true;
    clearTimeout(timer);
    client.write(responseHead(response));
    client.resume();
    response.on("error", () => client.destroy());
    response.pipe(client);
  });
  upstreamRequest.on("error", (error) => {
    clearTimeout(timer);
    if (client.writable && !answered) refuseUpgrade(client, 502, `connect to the streaming server: ${error.message}\n`);
    else client.destroy();
  });
  upstreamRequest.end();
  return promise;
}

function passedHeaders(request: IncomingMessage): Record<string, string | string[]> {
  const passed: Record<string, string | string[]> = {};
  const named = new Set(offeredNames(request.headers.connection));
  for (const [name, value] of Object.entries(request.headers)) {
    if (value !== undefined && !notPassedOn.has(name) && !named.has(name)) passed[name] = value;
  }
  if (request.method !== "GET") passed["content-length"] = "0";
  return passed;
}

const offeredNames = (header: string | undefined): string[] =>
  (header ?? "").split(",").map((name) => name.trim().toLowerCase());

/** The head of the upstream's answer as the client gets it; an answer that does not upgrade ends with its connection. */
function responseHead(response: IncomingMessage): string {
  const upgraded = response.statusCode === 101;
  const lines = [`HTTP/1.1 ${response.statusCode} ${response.statusMessage}`];
  for (let index = 0; index + 1 < response.rawHeaders.length; index += 2) {
    const name = response.rawHeaders[index] ?? "";
    // node:http has taken the chunks of the body apart, so its length is told by the connection's end
    if (!upgraded && ["connection", "keep-alive", "transfer-encoding"].includes(name.toLowerCase())) continue;
    lines.push(`${name}: ${response.rawHeaders[index + 1]}`);
  }
  if (!upgraded) lines.push("Connection: close");
  return `${lines.join("\r\n")}\r\n\r\n`;
}

/** Copies both ways; an end is passed on, a failure of either side ends both. */
function join(one: Duplex, other: Duplex): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.pipe(to);
    from.on("error", () => to.destroy());
    from.once("close", () => {
      if (!from.readableEnded) to.destroy();
    });
  }
}
