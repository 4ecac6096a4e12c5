import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type Logger, TripodError } from "@tripod/base";
import { type WebSocket, WebSocketServer } from "ws";
import { watchIdle } from "./idle.ts";
import {
  acceptedVersionsHeader,
  channelPortForwardProtocols,
  negotiate,
  offeredProtocols,
  portForwardProtocol,
  protocolVersionHeader,
  spdyCommandProtocols,
  tunnelledPortForwardProtocol,
  webSocketCommandProtocols,
} from "./protocol.ts";
import { refuseUpgrade } from "./refuse-upgrade.ts";
import { runRemoteCommand, type WantedStreams } from "./remote-command.ts";
import { SpdyCommandStreams } from "./spdy/command-server.ts";
import { PortForwardServer } from "./spdy/port-forward-server.ts";
import { SpdySession } from "./spdy/session.ts";
import type {
  AttachRequest,
  ExecRequest,
  ExecResult,
  PortForwardRequest,
  RemoteStreams,
  StreamingHandlers,
} from "./types.ts";
import { webSocketByteStream } from "./websocket/byte-stream.ts";
import { webSocketCommand } from "./websocket/command-server.ts";
import { maxChannelPorts, serveChannelPortForward } from "./websocket/port-forward-server.ts";

/** A request that waits for, or has, its connection. */
export type AnnouncedRequest =
  | { readonly kind: "exec"; readonly request: ExecRequest }
  | { readonly kind: "attach"; readonly request: AttachRequest }
  | { readonly kind: "portforward"; readonly request: PortForwardRequest };

export interface SessionLimits {
  readonly creationTimeoutMs: number;
  readonly idleTimeoutMs: number;
}

/** A client's upgrade request as node:http hands it over. */
export interface UpgradeRequest {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  /** The first bytes after the request. */
  readonly head: Buffer;
}

/** The longest WebSocket message that is read. */
const maxMessageBytes = 16 * 1024 * 1024;

/** Turns upgrade requests into sessions of the protocol that both sides know, and runs the handlers on them. */
export class SessionServer {
  readonly #handlers: StreamingHandlers;
  readonly #limits: SessionLimits;
  readonly #log: Logger;

  constructor(handlers: StreamingHandlers, limits: SessionLimits, log: Logger) {
    this.#handlers = handlers;
    this.#limits = limits;
    this.#log = log;
  }

  /** Resolves when the session is over. A client that asks for a protocol we do not know is answered so. */
  async serve(announced: AnnouncedRequest, upgrade: UpgradeRequest): Promise<void> {
    const wanted = upgrade.request.headers.upgrade?.toLowerCase();
    if (wanted === "websocket") await this.#webSocket(announced, upgrade);
    else if (wanted === "spdy/3.1") await this.#spdy(announced, upgrade);
    else refuseUpgrade(upgrade.socket, 400, "upgrade to SPDY/3.1 or websocket\n");
  }

  async #spdy(announced: AnnouncedRequest, { request, socket, head }: UpgradeRequest): Promise<void> {
    const known =
      announced.kind === "portforward" ? [portForwardProtocol] : spdyCommandProtocols.map(({ name }) => name);
    const offered = offeredProtocols(request.headers[protocolVersionHeader]);
    // Clients of long ago offered nothing and meant the oldest.
    const picked = offered.length === 0 ? known.at(-1) : negotiate(offered, known);
    if (picked === undefined) {
      refuseUpgrade(socket, 403, `none of ${offered.join(", ")} is served here\n`, {
        [acceptedVersionsHeader]: known.join(", "),
      });
      return;
    }
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ${picked}\r\n\r\n`,
    );
    if (head.length > 0) socket.unshift(head);
    if (announced.kind === "portforward") {
      await this.#spdyPortForward(announced.request, socket);
      return;
    }
    const protocol = spdyCommandProtocols.find(({ name }) => name === picked) ?? neverPicked(picked);
    const streams = new SpdyCommandStreams(wantedStreams(announced.request, protocol.resizes));
    const session = new SpdySession(socket, { role: "server", onStream: streams.onStream });
    const stopWatch = this.#watch(session, () => session.idleMs);
    try {
      const channels = await streams.channels(session, protocol, this.#limits.creationTimeoutMs);
      await runRemoteCommand(channels, (remote) => this.#work(announced, remote));
    } finally {
      stopWatch();
      session.destroy();
    }
  }

  async #spdyPortForward(request: PortForwardRequest, transport: Duplex): Promise<void> {
    const server = new PortForwardServer({
      creationTimeoutMs: this.#limits.creationTimeoutMs,
      connect: (port, connection, context) =>
        this.#handlers.portForward(request.podSandboxId, port, connection, context),
    });
    const session = new SpdySession(transport, { role: "server", onStream: server.onStream });
    const stopWatch = this.#watch(session, () => session.idleMs);
    await server.serve(session);
    stopWatch();
  }

  async #webSocket(announced: AnnouncedRequest, upgrade: UpgradeRequest): Promise<void> {
    const known =
      announced.kind === "portforward"
        ? [tunnelledPortForwardProtocol, ...channelPortForwardProtocols]
        : webSocketCommandProtocols.map(({ name }) => name);
    const offered = offeredProtocols(upgrade.request.headers["sec-websocket-protocol"]);
    const picked = offered.length === 0 ? known.find((name) => name === "") : negotiate(offered, known);
    if (picked === undefined) {
      refuseUpgrade(
        upgrade.socket,
        403,
        `subprotocol: offer one of ${known.filter((name) => name !== "").join(", ")}\n`,
      );
      return;
    }
    const ws = await acceptWebSocket(upgrade, picked);
    if (ws === undefined) return;
    if (announced.kind !== "portforward") {
      const protocol = webSocketCommandProtocols.find(({ name }) => name === picked) ?? neverPicked(picked);
      const command = webSocketCommand(ws, protocol, wantedStreams(announced.request, protocol.resizes));
      const stopWatch = this.#watch(command.connection, () => command.connection.idleMs);
      await runRemoteCommand(command, (remote) => this.#work(announced, remote));
      stopWatch();
    } else if (picked === tunnelledPortForwardProtocol) {
      await this.#spdyPortForward(announced.request, webSocketByteStream(ws));
    } else {
      const { podSandboxId, port: ports } = announced.request;
      if (ports.length === 0 || ports.length > maxChannelPorts) {
        ws.close(1008, `${ports.length} ports; 1 to ${maxChannelPorts} fit`);
        return;
      }
      const connection = serveChannelPortForward(ws, {
        base64: picked.includes("base64"),
        ports,
        connect: (port, stream, context) => this.#handlers.portForward(podSandboxId, port, stream, context),
      });
      const stopWatch = this.#watch(connection, () => connection.idleMs);
      await connection.closed;
      stopWatch();
    }
  }

  async #work(
    announced: Exclude<AnnouncedRequest, { kind: "portforward" }>,
    remote: RemoteStreams,
  ): Promise<ExecResult> {
    if (announced.kind === "exec") return this.#handlers.exec(announced.request, remote);
    await this.#handlers.attach(announced.request, remote);
    return { exitCode: 0 };
  }

  #watch(session: { destroy(): void }, idleMs: () => number): () => void {
    return watchIdle(idleMs, this.#limits.idleTimeoutMs, () => {
      this.#log.info({ idleTimeoutMs: this.#limits.idleTimeoutMs }, "streaming session was idle for too long");
      session.destroy();
    });
  }
}

const wantedStreams = (request: ExecRequest | AttachRequest, resizes: boolean): WantedStreams => ({
  stdin: request.stdin,
  stdout: request.stdout,
  stderr: request.stderr && !request.tty,
  resize: request.tty && resizes,
});

function neverPicked(name: string): never {
  throw new TripodError("internal", `streaming: protocol ${name} was picked and is not known`);
}

/**
 * Finishes the WebSocket handshake; undefined when the request was no good one (ws has answered it then). The subprotocol is settled here and
 * not in ws, which refuses names with a slash.
 */
async function acceptWebSocket(
  { request, socket, head }: UpgradeRequest,
  picked: string,
): Promise<WebSocket | undefined> {
  const acceptor = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: maxMessageBytes });
  delete request.headers["sec-websocket-protocol"];
  if (picked !== "") acceptor.on("headers", (headers) => headers.push(`Sec-WebSocket-Protocol: ${picked}`));
  return new Promise((resolve) => {
    socket.once("close", () => resolve(undefined));
    acceptor.handleUpgrade(request, socket, head, (ws) => {
      ws.pause(); // until someone listens: messages that came with the request must not be lost
      resolve(ws);
    });
  });
}
