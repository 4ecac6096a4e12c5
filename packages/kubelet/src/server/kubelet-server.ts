import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import { isTripodError, messageOf, TripodError } from "@tripod/base";
import { proxyUpgrade } from "@tripod/streaming";
import { checkpoint } from "./checkpoint.ts";
import { requiredPod, runningContainer } from "./find-container.ts";
import { httpStatusOf } from "./http-error.ts";
import { metrics } from "./metrics.ts";
import { serveLog } from "./serve-log.ts";
import type { ServerContext } from "./server-context.ts";
import { statsSummary } from "./stats-summary.ts";
import { streamingUrl } from "./streaming-url.ts";

export interface KubeletTls {
  /** PEM: the serving certificate, with its chain. */
  readonly cert: string;
  /** PEM: its key. */
  readonly key: string;
  /** PEM: the authority by which clients are known. */
  readonly clientCa: string;
}

export interface KubeletServerOptions {
  readonly tls: KubeletTls;
  readonly address: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** The common names of client certificates that may ask. */
  readonly clientNames: readonly string[];
  readonly context: ServerContext;
}

/** A running endpoint. */
export interface KubeletServer extends AsyncDisposable {
  readonly port: number;
}

/** Refuses whoever does not show a certificate of the cluster's authority with an allowed name. */
function authorize(socket: unknown, clientNames: readonly string[]): void {
  if (!(socket instanceof TLSSocket) || !socket.authorized) {
    throw new TripodError("unauthenticated", "Unauthorized");
  }
  const name = socket.getPeerCertificate().subject.CN;
  if (!clientNames.includes(String(name))) {
    throw new TripodError("permission-denied", `Forbidden (user=${String(name)}): only the API server may ask`);
  }
}

const splitPath = (url: URL): string[] => url.pathname.split("/").slice(1).map(decodeURIComponent);

function sendJson(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify(value));
}

async function answer(
  context: ServerContext,
  request: IncomingMessage,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  const url = new URL(request.url ?? "/", "https://kubelet");
  const path = splitPath(url);
  const [verb, namespace = "", pod = ""] = path;
  switch (verb) {
    case "containerLogs":
      return serveLog(
        context,
        { namespace, pod, container: path[path.length - 1] ?? "" },
        {
          query: url.searchParams,
          response,
          signal,
        },
      );
    case "pods":
    case "runningpods":
      return sendJson(response, { kind: "PodList", apiVersion: "v1", metadata: {}, items: context.pods() });
    case "stats":
      return sendJson(response, await statsSummary(context));
    case "metrics":
      response.writeHead(200, { "content-type": "text/plain; version=0.0.4" });
      response.end(await metrics(context));
      return;
    case "run": {
      if (request.method !== "POST") throw new TripodError("invalid", "run: use POST");
      const container = await runningContainer(
        context,
        requiredPod(context, namespace, pod),
        path[path.length - 1] ?? "",
      );
      const cmd = (url.searchParams.get("cmd") ?? "").split(" ").filter((word) => word !== "");
      const reply = await context.cri.runtime.execSync({ containerId: container.id, cmd }, { signal });
      response.writeHead(200, { "content-type": "text/plain" });
      response.end(Buffer.concat([reply.stdout, reply.stderr]));
      return;
    }
    case "checkpoint": {
      if (request.method !== "POST") throw new TripodError("invalid", "checkpoint: use POST");
      const timeout = url.searchParams.get("timeout");
      return sendJson(response, await checkpoint(context, { namespace, pod, container: path[3] ?? "", timeout }));
    }
    case "exec":
    case "attach":
    case "portForward":
      throw new TripodError("invalid", `${verb}: must be asked for as a connection upgrade (SPDY/3.1 or WebSocket)`);
    default:
      throw new TripodError("not-found", `404 page not found: ${url.pathname}`);
  }
}

/** Turns a refused upgrade into an HTTP answer on the bare connection. */
function refuse(socket: Duplex, error: unknown): void {
  const text = `${messageOf(error)}\n`;
  const head = [`HTTP/1.1 ${httpStatusOf(error)} Refused`, "content-type: text/plain", "connection: close"];
  socket.end([...head, `content-length: ${Buffer.byteLength(text)}`, "", text].join("\r\n"));
}

async function upgrade(
  context: ServerContext,
  request: IncomingMessage,
  [socket, head]: readonly [socket: Duplex, head: Buffer],
  signal: AbortSignal,
): Promise<void> {
  const url = new URL(request.url ?? "/", "https://kubelet");
  const path = splitPath(url);
  if (!["exec", "attach", "portForward"].includes(path[0] ?? "")) {
    throw new TripodError("not-found", `404 page not found: ${url.pathname}`);
  }
  const target = await streamingUrl(context, path, url.searchParams);
  await proxyUpgrade(request, socket, head, { url: target }, { signal });
}

/** Serves logs, exec, attach, port forwarding and statistics over HTTPS to the API server. */
export async function startKubeletServer(options: KubeletServerOptions): Promise<KubeletServer> {
  const { tls, context, clientNames } = options;
  const closing = new AbortController();
  const server = createServer({
    cert: tls.cert,
    key: tls.key,
    ca: tls.clientCa,
    requestCert: true,
    // An unknown client gets a 401 that says so, not a broken connection.
    rejectUnauthorized: false,
    minVersion: "TLSv1.2",
  });
  server.on("request", (request, response) => {
    if (request.url === "/healthz") {
      response.end("ok");
      return;
    }
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    const signal = AbortSignal.any([gone.signal, closing.signal]);
    const work = async (): Promise<void> => {
      try {
        authorize(request.socket, clientNames);
        await answer(context, request, response, signal);
      } catch (error) {
        if (signal.aborted || response.headersSent) response.destroy();
        else response.writeHead(httpStatusOf(error), { "content-type": "text/plain" }).end(messageOf(error));
      }
    };
    void work();
  });
  server.on("upgrade", (request, socket, head) => {
    socket.on("error", () => socket.destroy());
    const work = async (): Promise<void> => {
      try {
        authorize(socket, clientNames);
        await upgrade(context, request, [socket, head], closing.signal);
      } catch (error) {
        if (!isTripodError(error)) context.log.warn({ error: messageOf(error) }, "an upgrade failed");
        refuse(socket, error);
      }
    };
    void work();
  });
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const where = `${options.address}:${options.port}`;
      const taken = cause.code === "EADDRINUSE";
      reject(
        new TripodError(
          taken ? "already-exists" : "unavailable",
          taken
            ? `kubelet: port ${where} is taken; stop what listens there or choose another port`
            : `kubelet: listen on ${where}: ${cause.message}`,
          { cause },
        ),
      );
    });
    server.listen(options.port, options.address, resolve);
  });
  const { port } = server.address() as AddressInfo; // a TCP server's address
  return {
    port,
    async [Symbol.asyncDispose]() {
      closing.abort();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}
