import type { Duplex } from "node:stream";
import { messageOf, TripodError } from "@tripod/base";
import type { WebSocket } from "ws";
import { WebSocketChannels } from "./channels.ts";

/** Port-forward by channels: the port with index i has its data on channel 2i and its errors on 2i + 1. */
export const dataChannelOf = (index: number): number => index * 2;
export const errorChannelOf = (index: number): number => index * 2 + 1;
/** As many as have channel numbers below the one that is set apart. */
export const maxChannelPorts = 127;

export interface ChannelPortForwardOptions {
  readonly base64: boolean;
  readonly ports: readonly number[];
  readonly connect: (port: number, connection: Duplex, context: { readonly signal: AbortSignal }) => Promise<void>;
}

/** Serves one connection to each of the ports on an accepted WebSocket; ends it when all of them have ended. */
export function serveChannelPortForward(ws: WebSocket, options: ChannelPortForwardOptions): WebSocketChannels {
  const connection = new WebSocketChannels(ws, { base64: options.base64 });
  const abort = new AbortController();
  void connection.closed.then(({ error }) =>
    abort.abort(error ?? new TripodError("cancelled", "port-forward: the client went away")),
  );
  const forward = async (port: number, index: number): Promise<void> => {
    const data = connection.channel(dataChannelOf(index));
    const announcement = Buffer.alloc(2);
    announcement.writeUInt16LE(port);
    connection.send(dataChannelOf(index), announcement);
    connection.send(errorChannelOf(index), announcement);
    try {
      await options.connect(port, data, { signal: abort.signal });
    } catch (failure) {
      await new Promise<void>((resolve) => {
        const message = Buffer.from(`forward port ${port}: ${messageOf(failure)}`);
        connection.send(errorChannelOf(index), message, () => resolve());
      });
    }
    if (!data.destroyed) data.resume();
    await new Promise<void>((resolve) => {
      data.once("close", resolve);
      data.end(resolve);
    });
  };
  void Promise.all(options.ports.map(forward)).then(() => connection.close());
  connection.start();
  return connection;
}
