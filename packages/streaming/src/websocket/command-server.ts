import { TripodError } from "@tripod/base";
import type { WebSocket } from "ws";
import { channel, type CommandProtocol } from "../protocol.ts";
import type { CommandChannels, WantedStreams } from "../remote-command.ts";
import { TerminalSizes } from "../terminal-sizes.ts";
import { WebSocketChannels } from "./channels.ts";

/** A served exec or attach over WebSocket, with what watches over it. */
export interface WebSocketCommand extends CommandChannels {
  readonly connection: WebSocketChannels;
}

/** The channels of exec or attach on an accepted WebSocket. */
export function webSocketCommand(ws: WebSocket, protocol: CommandProtocol, wanted: WantedStreams): WebSocketCommand {
  const connection = new WebSocketChannels(ws, {
    base64: protocol.base64,
    ...(protocol.closesChannels ? { closeChannel: channel.close } : {}),
  });
  const abort = new AbortController();
  const sizes = new TerminalSizes();
  void connection.closed.then(({ error }) => {
    abort.abort(error ?? new TripodError("cancelled", "remote command: the client went away"));
    sizes.end();
  });
  const stdin = wanted.stdin ? connection.channel(channel.stdin) : undefined;
  const stdout = wanted.stdout ? connection.channel(channel.stdout) : undefined;
  const stderr = wanted.stderr ? connection.channel(channel.stderr) : undefined;
  if (wanted.resize) connection.channel(channel.resize).on("data", (bytes: Buffer) => sizes.receive(bytes));
  // Clients wait for a first message to know that the connection stands.
  connection.send(wanted.stdout ? channel.stdout : wanted.stderr ? channel.stderr : channel.error, Buffer.alloc(0));
  connection.start();
  return {
    connection,
    statusIsJson: protocol.statusIsJson,
    streams: {
      ...(stdin === undefined ? {} : { stdin }),
      ...(stdout === undefined ? {} : { stdout }),
      ...(stderr === undefined ? {} : { stderr }),
      resize: sizes,
      signal: abort.signal,
    },
    async finish(status) {
      if (status !== "") {
        await new Promise<void>((resolve) => connection.send(channel.error, Buffer.from(status), () => resolve()));
      }
      await connection.close();
    },
  };
}
