import type { Duplex } from "node:stream";
import { messageOf, TripodError } from "@tripod/base";
import { channelPortForwardProtocols, portForwardProtocol, tunnelledPortForwardProtocol } from "../protocol.ts";
import { SpdySession } from "../spdy/session.ts";
import type { SpdyStream } from "../spdy/stream.ts";
import { webSocketByteStream } from "../websocket/byte-stream.ts";
import { WebSocketChannels } from "../websocket/channels.ts";
import { dataChannelOf, errorChannelOf } from "../websocket/port-forward-server.ts";
import { type StreamingTarget, upgradeToSpdy } from "./upgrade.ts";
import { openWebSocket } from "./web-socket.ts";

/** A session over which any number of connections to ports of one sandbox are made. */
export interface PortForwardClient extends AsyncDisposable {
  /** A connection to `port`. It is destroyed with the server's message when the server cannot join it. */
  connect(port: number): Promise<Duplex>;
  close(): Promise<void>;
}

/** Port-forward over SPDY/3.1. */
export async function portForwardOverSpdy(target: StreamingTarget): Promise<PortForwardClient> {
  const { socket } = await upgradeToSpdy(target, [portForwardProtocol], "POST");
  return clientOver(socket);
}

/** Port-forward as SPDY frames inside a WebSocket, as kubectl does from 1.31 on. */
export async function portForwardOverWebSocket(target: StreamingTarget): Promise<PortForwardClient> {
  const { ws } = await openWebSocket(target, [tunnelledPortForwardProtocol]);
  return clientOver(webSocketByteStream(ws));
}

/** One connection to each of `ports` (those that the URL was announced with), by two WebSocket channels each. */
export async function portForwardOverChannels(
  target: StreamingTarget,
  ports: readonly number[],
): Promise<{ readonly connections: readonly Duplex[]; readonly close: () => void }> {
  const { ws, protocol } = await openWebSocket(target, channelPortForwardProtocols);
  const channels = new WebSocketChannels(ws, { base64: protocol.includes("base64") });
  const announced = ports.map(async (port, index) => {
    const data = channels.channel(dataChannelOf(index));
    const errors = channels.channel(errorChannelOf(index));
    const [first, second] = await Promise.all([portNumber(data), portNumber(errors)]);
    if (first !== port || second !== port)
      throw new TripodError("invalid", `port-forward: server announced port ${first} where ${port} was asked for`);
    errors.on("data", (text: Buffer) => data.destroy(new TripodError("unavailable", text.toString("utf8"))));
    return data;
  });
  channels.start();
  return { connections: await Promise.all(announced), close: () => channels.destroy() };
}

/** Each channel begins with the port in two bytes, little end first. */
async function portNumber(stream: Duplex): Promise<number> {
  for (;;) {
    const bytes: unknown = stream.read(2);
    if (Buffer.isBuffer(bytes) && bytes.length === 2) return bytes.readUInt16LE(0);
    await new Promise<void>((resolve, reject) => {
      stream.once("readable", resolve);
      stream.once("close", () => reject(new TripodError("unavailable", "port-forward: server closed the connection")));
    });
  }
}

function clientOver(transport: Duplex): PortForwardClient {
  const session = new SpdySession(transport, { role: "client" });
  let lastRequest = 0;
  return {
    async connect(port) {
      lastRequest += 1;
      const named: [string, string][] = [
        ["port", String(port)],
        ["requestid", String(lastRequest)],
      ];
      const error = await session.open([["streamtype", "error"], ...named]);
      error.end();
      const data = await session.open([["streamtype", "data"], ...named]);
      data.holdEnd(watchErrors(error, data));
      return data;
    },
    close: () => session.close(),
    [Symbol.asyncDispose]: () => session.close(),
  };
}

async function watchErrors(errors: SpdyStream, data: SpdyStream): Promise<void> {
  let text = "";
  try {
    for await (const chunk of errors) text += String(chunk);
  } catch (error) {
    text ||= messageOf(error);
  }
  if (text !== "") data.fail(new TripodError("unavailable", text));
}
