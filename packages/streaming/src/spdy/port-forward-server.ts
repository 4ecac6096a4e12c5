import type { Duplex } from "node:stream";
import { messageOf, TripodError } from "@tripod/base";
import { streamTypeHeader } from "./command-server.ts";
import type { SpdySession } from "./session.ts";
import type { SpdyStream } from "./stream.ts";

/** How long a finished connection's streams wait for the peer to close its halves. */
const lingerMs = 10_000;

export interface PortForwardServerOptions {
  /** How long the second stream of a pair may take. */
  readonly creationTimeoutMs: number;
  /** Joins one connection to a port; a throw is told to the peer on the pair's error stream. */
  readonly connect: (port: number, connection: Duplex, context: { readonly signal: AbortSignal }) => Promise<void>;
}

interface Pair {
  readonly streams: Map<string, SpdyStream>;
  readonly timer: NodeJS.Timeout;
}

/** Pairs the error and data streams that a port-forward client opens, by request id, and joins each pair to its port. */
export class PortForwardServer {
  readonly #options: PortForwardServerOptions;
  readonly #pairs = new Map<string, Pair>();
  readonly #abort = new AbortController();

  constructor(options: PortForwardServerOptions) {
    this.#options = options;
  }

  /** Resolves when the session is gone. */
  async serve(session: SpdySession): Promise<void> {
    const { error } = await session.closed;
    this.#abort.abort(error ?? new TripodError("cancelled", "port-forward: the client went away"));
    for (const { timer } of this.#pairs.values()) clearTimeout(timer);
    this.#pairs.clear();
  }

  /** Takes a stream; one without a good type and port, or the second of its kind, is refused. */
  readonly onStream = (stream: SpdyStream): void => {
    const type = stream.headers.get(streamTypeHeader) ?? "";
    const port = Number(stream.headers.get("port"));
    const id = requestId(stream, type);
    const pair = this.#pairs.get(id);
    const good = (type === "error" || type === "data") && Number.isInteger(port) && port > 0 && port <= 65535;
    if (!good || pair?.streams.has(type) === true) {
      stream.refuse();
      return;
    }
    stream.reply();
    if (pair === undefined) {
      this.#pairs.set(id, {
        streams: new Map([[type, stream]]),
        timer: setTimeout(() => this.#expire(id), this.#options.creationTimeoutMs),
      });
      return;
    }
    clearTimeout(pair.timer);
    this.#pairs.delete(id);
    const [data, error] = type === "data" ? [stream, pair.streams.get("error")] : [pair.streams.get("data"), stream];
    if (data !== undefined && error !== undefined) void this.#forward(port, data, error);
  };

  #expire(id: string): void {
    const pair = this.#pairs.get(id);
    this.#pairs.delete(id);
    for (const stream of pair?.streams.values() ?? [])
      stream.destroy(new TripodError("timeout", `port-forward: only one of two streams came for request ${id}`));
  }

  async #forward(port: number, data: SpdyStream, error: SpdyStream): Promise<void> {
    error.discard();
    try {
      await this.#options.connect(port, data, { signal: this.#abort.signal });
      error.end();
    } catch (failure) {
      // kubectl resets the stream of a connection that it is done with, and takes any message for the end of the session.
      if (data.resetByPeer) error.end();
      else error.end(`forward port ${port}: ${messageOf(failure)}`);
    }
    data.end();
    data.discard();
    const timer = setTimeout(() => {
      data.destroy();
      error.destroy();
    }, lingerMs).unref();
    data.once("close", () => clearTimeout(timer));
  }
}

/** The pair's name. Clients of long ago sent none: their error stream came first and the data stream had the next number. */
function requestId(stream: SpdyStream, type: string): string {
  const given = stream.headers.get("requestid");
  if (given !== undefined && given !== "") return given;
  return `#${type === "data" ? stream.streamId - 2 : stream.streamId}`;
}
