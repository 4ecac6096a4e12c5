import { createServer as createHttpServer, type IncomingMessage, type Server } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { type Logger, messageOf, TaskOwner, TripodError } from "@tripod/base";
import { refuseUpgrade } from "./refuse-upgrade.ts";
import { type AnnouncedRequest, type SessionLimits, SessionServer } from "./session-server.ts";
import { Tokens } from "./tokens.ts";
import type { AttachRequest, ExecRequest, PortForwardRequest, StreamingHandlers } from "./types.ts";

export interface StreamingServerOptions {
  /** The address to listen on; 127.0.0.1 unless told. */
  readonly address?: string;
  /** 0, the default, takes any free port. */
  readonly port?: number;
  readonly handlers: StreamingHandlers;
  readonly log: Logger;
  /** PEM; with it the server speaks HTTPS. */
  readonly tls?: { readonly cert: string | Buffer; readonly key: string | Buffer };
  /** How long an announced request may wait for its connection; 60,000 unless told. */
  readonly tokenLifetimeMs?: number;
  /** The most announced requests that wait; 1,000 unless told. */
  readonly maxTokens?: number;
  /** How long a connected client may take to open its streams; 30,000 unless told. */
  readonly creationTimeoutMs?: number;
  /** How long a session may carry no data; 4 hours unless told. */
  readonly idleTimeoutMs?: number;
}

/**
 * Serves exec, attach and port-forward as a CRI runtime does: a request is announced with `urlFor…`, and whoever connects to that URL, once
 * and soon, gets its streams over SPDY/3.1 or WebSocket.
 */
export class StreamingServer implements AsyncDisposable {
  /** Where it listens: http://127.0.0.1:41234 */
  readonly url: string;
  readonly port: number;
  readonly #server: Server;
  readonly #tokens: Tokens<AnnouncedRequest>;
  readonly #sockets = new Set<Duplex>();
  readonly #sessions: TaskOwner;

  private constructor(server: Server, options: StreamingServerOptions) {
    this.#server = server;
    const { address, port } = server.address() as AddressInfo; // it listens on TCP
    this.port = port;
    this.url = `${options.tls === undefined ? "http" : "https"}://${address.includes(":") ? `[${address}]` : address}:${port}`;
    this.#tokens = new Tokens({ lifetimeMs: options.tokenLifetimeMs ?? 60_000, limit: options.maxTokens ?? 1_000 });
    this.#sessions = new TaskOwner("streaming", options.log);
    const limits: SessionLimits = {
      creationTimeoutMs: options.creationTimeoutMs ?? 30_000,
      idleTimeoutMs: options.idleTimeoutMs ?? 4 * 60 * 60 * 1000,
    };
    const sessions = new SessionServer(options.handlers, limits, options.log);
    server.on("connection", (socket) => this.#track(socket));
    server.on("request", (request, response) => {
      const known = this.#redeem(request) !== undefined;
      response.writeHead(known ? 400 : 404, { "content-type": "text/plain", connection: "close" });
      response.end(known ? "this URL must be asked with an Upgrade header\n" : notFound);
    });
    server.on("upgrade", (request, socket, head) => {
      socket.on("error", () => socket.destroy());
      const announced = this.#redeem(request);
      if (announced === undefined) {
        refuseUpgrade(socket, 404, notFound);
        return;
      }
      this.#sessions.run(announced.kind, async () => {
        try {
          await sessions.serve(announced, { request, socket, head });
        } catch (error) {
          options.log.info({ kind: announced.kind, error: messageOf(error) }, "streaming session failed");
          socket.destroy();
        }
      });
    });
  }

  /** Listens; "unavailable" when the address or port cannot be had. */
  static async start(options: StreamingServerOptions): Promise<StreamingServer> {
    const { address = "127.0.0.1", port = 0 } = options;
    const server = options.tls === undefined ? createHttpServer() : createHttpsServer(options.tls);
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause) =>
        reject(
          new TripodError("unavailable", `streaming: listen on ${address} port ${port}: ${cause.message}`, { cause }),
        ),
      );
      server.listen(port, address, resolve);
    });
    return new StreamingServer(server, options);
  }

  /** A URL that runs the command once for whoever connects to it within a minute. "exhausted" when too many wait. */
  urlForExec(request: ExecRequest): string {
    return this.#announce({ kind: "exec", request });
  }

  urlForAttach(request: AttachRequest): string {
    return this.#announce({ kind: "attach", request });
  }

  urlForPortForward(request: PortForwardRequest): string {
    return this.#announce({ kind: "portforward", request });
  }

  #announce(announced: AnnouncedRequest): string {
    if (announced.kind !== "portforward") {
      const { stdin, stdout, stderr, tty } = announced.request;
      if (!stdin && !stdout && !stderr)
        throw new TripodError(
          "invalid",
          `${announced.kind}: none of stdin, stdout and stderr is asked for; ask for one`,
        );
      if (tty && stderr)
        throw new TripodError(
          "invalid",
          `${announced.kind}: a terminal has no stderr of its own; ask for tty or stderr`,
        );
    }
    return `${this.url}/${announced.kind}/${this.#tokens.issue(announced)}`;
  }

  #redeem(request: IncomingMessage): AnnouncedRequest | undefined {
    const [, kind, token, ...rest] = (request.url ?? "").split("?", 1)[0]?.split("/") ?? [];
    if (token === undefined || rest.length > 0) return undefined;
    const announced = this.#tokens.redeem(token);
    return announced?.kind === kind ? announced : undefined;
  }

  #track(socket: Duplex): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
  }

  /** Stops listening, breaks every session and waits for its handler. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await this.#sessions.stop();
    await closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

const notFound = "no such request: it was never announced, is used already, or waited too long\n";
