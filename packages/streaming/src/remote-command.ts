import type { Readable, Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { type Outcome, statusJson, statusText } from "./status.ts";
import type { ExecResult, RemoteStreams } from "./types.ts";

/** The open channels of one exec or attach, whatever carries them. */
export interface CommandChannels {
  readonly streams: RemoteStreams;
  readonly statusIsJson: boolean;
  /** Sends the result and ends the connection in order. Output is flushed and closed by then. */
  finish(status: string): Promise<void>;
}

/** What exec and attach ask of the channels. */
export interface WantedStreams {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly resize: boolean;
}

/** Runs `work` on the channels and tells the peer how it ended: first all output, then the result. */
export async function runRemoteCommand(
  channels: CommandChannels,
  work: (streams: RemoteStreams) => Promise<ExecResult>,
): Promise<Outcome> {
  const { streams } = channels;
  let outcome: Outcome;
  try {
    outcome = { kind: "exited", exitCode: (await work(streams)).exitCode };
  } catch (error) {
    outcome = { kind: "failed", error };
  }
  await Promise.all([flush(streams.stdout), flush(streams.stderr)]);
  drain(streams.stdin);
  await channels.finish(channels.statusIsJson ? statusJson(outcome) : statusText(outcome));
  return outcome;
}

/** Ends a stream and waits until all of it has been handed to the kernel. A peer that is gone is no failure of the command. */
async function flush(stream: Writable | undefined): Promise<void> {
  if (stream === undefined) return;
  stream.end();
  await finished(stream, { readable: false }).catch(() => {});
}

/** Reads and drops what a peer still sends to a command that has ended. */
function drain(stream: Readable | undefined): void {
  if (stream !== undefined && !stream.destroyed) stream.resume();
}
