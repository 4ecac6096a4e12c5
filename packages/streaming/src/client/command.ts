import type { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { isTripodError, TripodError } from "@tripod/base";
import { channel, spdyCommandProtocols, webSocketCommandProtocols } from "../protocol.ts";
import { SpdySession } from "../spdy/session.ts";
import { parseStatus } from "../status.ts";
import { terminalSizeJson } from "../terminal-sizes.ts";
import type { ExecResult, TerminalSize } from "../types.ts";
import { WebSocketChannels } from "../websocket/channels.ts";
import { type StreamingTarget, upgradeToSpdy } from "./upgrade.ts";
import { openWebSocket } from "./web-socket.ts";

export interface RemoteCommandOptions extends StreamingTarget {
  /** Sent to the command; its end closes the command's standard input. Give those streams that the URL asks for, and no other. */
  readonly stdin?: Readable;
  readonly stdout?: Writable;
  readonly stderr?: Writable;
  /** The terminal's sizes; give it when and only when the command has a terminal. */
  readonly resize?: AsyncIterable<TerminalSize>;
  /** SPDY only: the method of the request; POST, as kubectl's, unless told. */
  readonly method?: "GET" | "POST";
  /** The protocols to offer, best first; all of the transport's unless told. */
  readonly protocols?: readonly string[];
}

/** The longest result that is read. */
const maxStatusBytes = 64 * 1024;

/** Runs exec or attach over SPDY/3.1. Resolves after all output has been written; throws what the server reports beside an exit code. */
export async function execOverSpdy(options: RemoteCommandOptions): Promise<ExecResult> {
  const offered = options.protocols ?? spdyCommandProtocols.map(({ name }) => name);
  const { response, socket } = await upgradeToSpdy(options, offered, options.method ?? "POST");
  const picked = response.headers["x-stream-protocol-version"];
  const session = new SpdySession(socket, { role: "client" });
  const stopAbort = onAbort(options.signal, () => session.destroy());
  try {
    const open = (type: string) => session.open([["streamtype", type]]);
    const error = await open("error");
    error.end();
    const stdin = options.stdin === undefined ? undefined : await open("stdin");
    const stdout = options.stdout === undefined ? undefined : await open("stdout");
    const stderr = options.stderr === undefined ? undefined : await open("stderr");
    const resize = options.resize === undefined ? undefined : await open("resize");
    stdin?.discard();
    resize?.discard();
    const status = collect(error);
    const output = join({ stdout, stderr }, options);
    void sendInput({ stdin, resize }, options);
    const [result, copied] = await Promise.allSettled([status, output]);
    if (result.status === "rejected") throw result.reason;
    const text = result.value;
    // Some servers end what they have sent by resetting it, once they have told the result.
    if (copied.status === "rejected" && (text === "" || !isTripodError(copied.reason, "cancelled")))
      throw copied.reason;
    const known = spdyCommandProtocols.find(({ name }) => name === picked);
    return known?.statusIsJson === false ? oldResult(text) : parseStatus(text);
  } finally {
    stopAbort();
    void session.close();
  }
}

/** As execOverSpdy, over a WebSocket. The input's end can be told from protocol v5 on; before, stdin stays open. */
export async function execOverWebSocket(options: RemoteCommandOptions): Promise<ExecResult> {
  const offered = options.protocols ?? webSocketCommandProtocols.map(({ name }) => name).filter((name) => name !== "");
  const { ws, protocol: picked } = await openWebSocket(options, offered);
  const protocol = webSocketCommandProtocols.find(({ name }) => name === picked);
  const channels = new WebSocketChannels(ws, {
    base64: protocol?.base64 === true,
    ...(protocol?.closesChannels === true ? { closeChannel: channel.close, announceEnds: true } : {}),
  });
  const stopAbort = onAbort(options.signal, () => channels.destroy());
  try {
    const stdout = options.stdout === undefined ? undefined : channels.channel(channel.stdout);
    const stderr = options.stderr === undefined ? undefined : channels.channel(channel.stderr);
    const status = collect(channels.channel(channel.error));
    const output = join({ stdout, stderr }, options);
    channels.start();
    void sendInput(
      {
        stdin: options.stdin === undefined ? undefined : channels.channel(channel.stdin),
        resize: options.resize === undefined ? undefined : channels.channel(channel.resize),
      },
      options,
    );
    const [text] = await Promise.all([status, output]);
    const { error } = await channels.closed;
    if (error !== undefined && text === "") throw error;
    return protocol?.statusIsJson === true ? parseStatus(text) : oldResult(text);
  } finally {
    stopAbort();
    channels.destroy();
  }
}

function onAbort(signal: AbortSignal | undefined, stop: () => void): () => void {
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop, { once: true });
  return () => signal?.removeEventListener("abort", stop);
}

/** Before v4 no text meant success, and an exit code was only a sentence. */
function oldResult(text: string): ExecResult {
  if (text === "") return { exitCode: 0 };
  const exitCode = /exit code:? (\d+)/.exec(text)?.[1];
  if (exitCode === undefined) throw new TripodError("internal", text);
  return { exitCode: Number(exitCode) };
}

async function collect(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of stream) {
      size += (chunk as Buffer).length; // no encoding is set
      if (size <= maxStatusBytes) chunks.push(chunk as Buffer);
    }
  } catch (error) {
    if (size === 0) throw error;
  }
  return Buffer.concat(chunks).toString("utf8");
}

async function join(
  from: { readonly stdout: Readable | undefined; readonly stderr: Readable | undefined },
  to: { readonly stdout?: Writable; readonly stderr?: Writable },
): Promise<void> {
  const copy = async (source: Readable | undefined, target: Writable | undefined): Promise<void> => {
    if (source !== undefined && target !== undefined) await pipeline(source, target, { end: false });
  };
  await Promise.all([copy(from.stdout, to.stdout), copy(from.stderr, to.stderr)]);
}

/** Sends input until it ends or nobody wants it any more; the command's result does not depend on how that goes. */
async function sendInput(
  to: { readonly stdin: Writable | undefined; readonly resize: Writable | undefined },
  from: { readonly stdin?: Readable; readonly resize?: AsyncIterable<TerminalSize> },
): Promise<void> {
  const send = async (
    source: AsyncIterable<Buffer | string> | undefined,
    target: Writable | undefined,
  ): Promise<void> => {
    if (source === undefined || target === undefined) return;
    try {
      await pipeline(source, target);
    } catch (error) {
      target.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  };
  const { resize } = from;
  const sizes = resize === undefined ? undefined : sizeLines(resize);
  await Promise.all([send(from.stdin, to.stdin), send(sizes, to.resize)]);
}

async function* sizeLines(sizes: AsyncIterable<TerminalSize>): AsyncGenerator<string, void, undefined> {
  for await (const size of sizes) yield terminalSizeJson(size);
}
