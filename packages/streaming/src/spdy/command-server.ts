import { TripodError } from "@tripod/base";
import type { CommandProtocol } from "../protocol.ts";
import type { CommandChannels, WantedStreams } from "../remote-command.ts";
import { TerminalSizes } from "../terminal-sizes.ts";
import type { SpdySession } from "./session.ts";
import type { SpdyStream } from "./stream.ts";

/** The values of the header that says what a stream is for. */
export type StreamType = "error" | "stdin" | "stdout" | "stderr" | "resize" | "data";
/** The header that says what a stream is for. */
export const streamTypeHeader = "streamtype";

/** Collects the streams that a client opens for exec or attach. */
export class SpdyCommandStreams {
  readonly #wanted: ReadonlySet<string>;
  readonly #streams = new Map<string, SpdyStream>();
  readonly #complete = Promise.withResolvers<void>();

  constructor(wanted: WantedStreams) {
    const names: StreamType[] = ["error", "stdin", "stdout", "stderr", "resize"];
    this.#wanted = new Set(names.filter((name) => name === "error" || wanted[name as keyof WantedStreams])); // the other names are its keys
    this.#complete.promise.catch(() => {}); // it may fail before anyone waits
  }

  /** Takes a stream; one that was not asked for, or is there already, is refused. */
  readonly onStream = (stream: SpdyStream): void => {
    const type = stream.headers.get(streamTypeHeader) ?? "";
    if (!this.#wanted.has(type) || this.#streams.has(type)) {
      stream.refuse();
      return;
    }
    stream.reply();
    this.#streams.set(type, stream);
    if (this.#streams.size === this.#wanted.size) this.#complete.resolve();
  };

  /** The channels once all streams are there; "timeout" when the client takes longer than `timeoutMs` to open them. */
  async channels(session: SpdySession, protocol: CommandProtocol, timeoutMs: number): Promise<CommandChannels> {
    const timer = setTimeout(() => {
      const missing = [...this.#wanted].filter((name) => !this.#streams.has(name)).join(", ");
      this.#complete.reject(
        new TripodError("timeout", `remote command: client did not open ${missing} in ${timeoutMs} ms`),
      );
    }, timeoutMs);
    const abort = new AbortController();
    const sizes = new TerminalSizes();
    void session.closed.then(({ error }) => {
      const why = error ?? new TripodError("cancelled", "remote command: the client went away");
      this.#complete.reject(why);
      abort.abort(why);
      sizes.end();
    });
    try {
      await this.#complete.promise;
    } finally {
      clearTimeout(timer);
    }
    const { stdin, stdout, stderr, resize, error } = Object.fromEntries(this.#streams);
    if (error === undefined) throw new TripodError("internal", "remote command: no error stream"); // it is always wanted
    resize?.on("data", (bytes: Buffer) => sizes.receive(bytes));
    resize?.once("end", () => sizes.end());
    for (const outgoing of [stdout, stderr, error]) outgoing?.discard();
    return {
      statusIsJson: protocol.statusIsJson,
      streams: {
        ...(stdin === undefined ? {} : { stdin }),
        ...(stdout === undefined ? {} : { stdout }),
        ...(stderr === undefined ? {} : { stderr }),
        resize: sizes,
        signal: abort.signal,
      },
      async finish(status) {
        stdin?.end();
        resize?.end();
        await new Promise<void>((resolve) => {
          error.once("close", resolve); // the peer is gone: nobody will read it
          error.end(status, resolve);
        });
        await session.close();
      },
    };
  }
}
