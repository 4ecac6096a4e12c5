import { existsSync, rmSync } from "node:fs";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import { createConnection } from "node:net";
import { messageOf, TripodError } from "@tripod/base";
import { socketIsLive } from "@tripod/grpc";
import { MessageTap } from "./message-tap.ts";

/** A message as it went by: whole, or its length when it was too long to keep. */
export type SeenMessage = Uint8Array | { readonly bytes: number };

/** One call that went through. */
export interface SeenCall {
  /** "/csi.v1.Node/NodeGetInfo". */
  readonly path: string;
  readonly startedAtMs: number;
  readonly durationMs: number;
  readonly requests: readonly SeenMessage[];
  readonly replies: readonly SeenMessage[];
  /** gRPC's status; -1 when the caller went away before there was one. */
  readonly status: number;
  readonly message: string;
}

export interface RelayOptions {
  /** Paths of unix sockets. */
  readonly listen: string;
  readonly target: string;
  readonly onCall: (call: SeenCall) => void;
}

const unavailable = 14;
/** What of a message is kept to be shown, and how many of a stream. */
const maxMessageBytes = 1024 * 1024;
const maxMessages = 100;

/**
 * Stands before a gRPC server and passes on what comes, byte for byte: methods that nobody here knows, streams, deadlines, metadata and
 * cancellation as well. Messages flow through; of each call something is kept to be shown.
 */
export class GrpcRelay implements AsyncDisposable {
  readonly #options: RelayOptions;
  readonly #server = createServer();
  readonly #callers = new Set<{ destroy(): void }>();
  #session: ClientHttp2Session | undefined;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) =>
      this.#relay(stream, headers),
    );
    this.#server.on("session", (session) => {
      this.#callers.add(session);
      session.once("close", () => this.#callers.delete(session));
      session.on("error", () => {}); // a caller that breaks off; its streams end
    });
  }

  /** Resolves when callers can connect. A socket that nobody listens on is replaced. */
  async start(): Promise<void> {
    const { listen } = this.#options;
    if (existsSync(listen)) {
      if (await socketIsLive(listen))
        throw new TripodError("already-exists", `listen on ${listen}: somebody does; stop that first`);
      rmSync(listen);
    }
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(listen, resolve);
    });
  }

  /** The connection to the server, made anew after it broke. */
  #target(): ClientHttp2Session {
    if (this.#session === undefined || this.#session.closed || this.#session.destroyed) {
      const { target } = this.#options;
      const session = connect("http://localhost", { createConnection: () => createConnection(target) });
      session.on("error", () => {}); // told to each of its streams
      this.#session = session;
    }
    return this.#session;
  }

  #relay(caller: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const call = new CallInTransit(headers[":path"] ?? "", this.#options.onCall);
    const gone = (error: unknown): void =>
      refuse(caller, call, `proxy to ${this.#options.target}: ${messageOf(rootOf(error))}; does the driver run there?`);
    caller.on("error", () => {}); // the caller's business
    let target: ClientHttp2Stream;
    try {
      target = this.#target().request(headers);
    } catch (error) {
      return gone(error);
    }
    let trailers: IncomingHttpHeaders = {};
    target.on("error", gone);
    target.on("response", (reply, flags) => {
      const isAll = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
      if (isAll) call.end(reply);
      if (caller.destroyed) return;
      caller.respond(reply, { endStream: isAll, waitForTrailers: !isAll });
    });
    target.on("trailers", (found: IncomingHttpHeaders) => {
      trailers = found;
    });
    caller.on("wantTrailers", () => {
      call.end(trailers);
      caller.sendTrailers(trailers);
    });
    caller.on("data", (chunk: Buffer) => call.requests.see(chunk));
    target.on("data", (chunk: Buffer) => call.replies.see(chunk));
    caller.pipe(target);
    target.pipe(caller);
    caller.on("close", () => {
      call.end({});
      target.close(constants.NGHTTP2_CANCEL);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#session?.destroy();
    for (const caller of this.#callers) caller.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    rmSync(this.#options.listen, { force: true });
  }
}

/** A stream tells that it was cancelled; why the connection broke is the cause. */
const rootOf = (error: unknown): unknown =>
  error instanceof Error && error.cause !== undefined ? rootOf(error.cause) : error;

/** Tells the caller that the server cannot be reached, unless it has an answer already. */
function refuse(caller: ServerHttp2Stream, call: CallInTransit, why: string): void {
  const trailers = { "grpc-status": String(unavailable), "grpc-message": encodeURI(why) };
  call.end(trailers);
  if (caller.destroyed) return;
  if (caller.headersSent) caller.close(constants.NGHTTP2_INTERNAL_ERROR);
  else caller.respond({ ":status": 200, "content-type": "application/grpc", ...trailers }, { endStream: true });
}

/** What is kept of a call while it goes through. */
class CallInTransit {
  readonly requests: MessageTap;
  readonly replies: MessageTap;
  readonly #path: string;
  readonly #startedAtMs = Date.now();
  readonly #started = performance.now();
  readonly #onCall: (call: SeenCall) => void;
  readonly #seen: { requests: SeenMessage[]; replies: SeenMessage[] } = { requests: [], replies: [] };
  #ended = false;

  constructor(path: string, onCall: (call: SeenCall) => void) {
    this.#path = path;
    this.#onCall = onCall;
    const keep = (list: SeenMessage[]) => (message: SeenMessage) => {
      if (list.length < maxMessages) list.push(message);
    };
    this.requests = new MessageTap(maxMessageBytes, keep(this.#seen.requests));
    this.replies = new MessageTap(maxMessageBytes, keep(this.#seen.replies));
  }

  /** Once: with the trailers that tell the status, or without any when the caller went away. */
  end(trailers: IncomingHttpHeaders): void {
    if (this.#ended) return;
    this.#ended = true;
    const { "grpc-status": status = "-1", "grpc-message": message = "" } = trailers;
    this.#onCall({
      path: this.#path,
      startedAtMs: this.#startedAtMs,
      durationMs: performance.now() - this.#started,
      ...this.#seen,
      status: Number(status),
      message: decoded(String(message)),
    });
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a server that does not encode
  }
}
