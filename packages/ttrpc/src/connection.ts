import type { Duplex } from "node:stream";
import { create, type DescMethod, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type Request, RequestSchema, ResponseSchema } from "@tripod/api/ttrpc";
import { messageOf, TripodError } from "@tripod/base";
import { grpcStatusOf } from "@tripod/grpc";
import { withSpan, withTraceparent } from "@tripod/trace";
import { type Frame, FrameReader, flag, maxMessageBytes, messageType } from "./frame.ts";
import { Inbox } from "./inbox.ts";
import type { CallContext, ServiceBinding } from "./service.ts";
import { writeMessage } from "./write-message.ts";

export interface TtrpcConnectionOptions {
  readonly services: readonly ServiceBinding[];
  /** Calls that one connection may have running; more are answered RESOURCE_EXHAUSTED. 1024 unless told. */
  readonly maxCalls?: number;
  /** Whether a call makes a span with its request and reply; true for all unless told. */
  readonly traced?: (method: string) => boolean;
}

/** The most that the requests of one connection's running calls may hold together. */
const maxRequestBytes = 64 * 1024 * 1024;
const maxTimerMs = 2 ** 31 - 1;

interface Bound {
  readonly name: string;
  readonly method: DescMethod;
  readonly handler: unknown;
}

interface Running {
  readonly inbox: Inbox;
  readonly abort: AbortController;
}

/**
 * The serving side of one connection, which it owns. What a hostile peer sends is answered with a status, or ends this connection and
 * nothing else.
 */
export class TtrpcConnection implements AsyncDisposable {
  readonly #stream: Duplex;
  readonly #options: TtrpcConnectionOptions;
  readonly #methods = new Map<string, Bound>();
  readonly #running = new Map<number, Running>();
  readonly #work = new Set<Promise<void>>();
  readonly #closed = Promise.withResolvers<void>();
  #requestBytes = 0;
  #lastId = 0;

  constructor(stream: Duplex, options: TtrpcConnectionOptions) {
    this.#stream = stream;
    this.#options = options;
    for (const { service, handlers } of options.services) {
      for (const method of service.methods) {
        const handler = handlers[method.localName];
        const bound = { name: `${service.name}/${method.name}`, method, handler };
        if (handler !== undefined) this.#methods.set(`${service.typeName}/${method.name}`, bound);
      }
    }
    const reader = new FrameReader();
    stream.on("data", (chunk: Buffer) => {
      try {
        for (const frame of reader.push(chunk)) this.#receive(frame);
      } catch {
        stream.destroy(); // the peer does not speak ttrpc: there is no stream to answer on
      }
    });
    stream.on("error", () => {}); // "close" follows
    stream.on("end", () => stream.destroy());
    stream.on("close", () => {
      const gone = new TripodError("cancelled", "the caller went away");
      for (const { abort, inbox } of this.#running.values()) {
        abort.abort(gone);
        inbox.fail(gone);
      }
      this.#closed.resolve();
    });
  }

  /** Resolves when the connection is gone, whoever ended it. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  #receive(frame: Frame): void {
    const { streamId, type, flags, data } = frame;
    if (data === "too-large") return this.#refuse(streamId, "exhausted", `message exceeds ${maxMessageBytes} bytes`);
    if (streamId % 2 !== 1) return this.#refuse(streamId, "invalid", `stream ${streamId}: a caller's are odd`);
    if (type === messageType.data) {
      const running = this.#running.get(streamId);
      if (running === undefined || running.inbox.closed) {
        return this.#refuse(streamId, "invalid", `stream ${streamId} takes no data`);
      }
      if ((flags & flag.noData) === 0) running.inbox.push(data);
      if ((flags & flag.remoteClosed) !== 0) running.inbox.close();
    } else if (type === messageType.request) {
      if (streamId <= this.#lastId) {
        return this.#refuse(streamId, "invalid", `stream ${streamId}: numbers must increase, last was ${this.#lastId}`);
      }
      this.#lastId = streamId;
      this.#request(streamId, flags, data);
    } // other types are of a later protocol, and to be ignored
  }

  #request(streamId: number, flags: number, data: Uint8Array): void {
    let request: Request;
    try {
      request = fromBinary(RequestSchema, data);
    } catch (error) {
      return this.#refuse(streamId, "invalid", `request does not decode: ${messageOf(error)}`);
    }
    const bound = this.#methods.get(`${request.service}/${request.method}`);
    if (bound === undefined) {
      const name = `${request.service}/${request.method}`.slice(0, 256);
      return this.#refuse(streamId, "unimplemented", `${name} is not served here`);
    }
    const { maxCalls = 1024 } = this.#options;
    if (this.#work.size >= maxCalls || this.#requestBytes + data.length > maxRequestBytes) {
      return this.#refuse(streamId, "exhausted", `${this.#work.size} calls are running on this connection; wait`);
    }
    this.#requestBytes += data.length;
    const work = this.#call(streamId, flags, bound, request);
    this.#work.add(work);
    void work.then(() => {
      this.#work.delete(work);
      this.#requestBytes -= data.length;
    });
  }

  /** Runs one call to its answer; never throws. The answer leaves at the deadline even if the handler goes on. */
  async #call(streamId: number, flags: number, bound: Bound, request: Request): Promise<void> {
    const abort = new AbortController();
    const inbox = new Inbox();
    if (takesStream(bound.method)) {
      if (request.payload.length > 0) inbox.push(request.payload);
      if ((flags & flag.remoteClosed) !== 0) inbox.close();
    } else inbox.close();
    this.#running.set(streamId, { inbox, abort });
    const late = new TripodError("timeout", `${bound.name}: the caller's time is over`);
    const timeoutMs = Number(request.timeoutNano) / 1e6;
    const timer =
      timeoutMs === 0 || timeoutMs > maxTimerMs ? undefined : setTimeout(() => abort.abort(late), timeoutMs);
    abort.signal.addEventListener("abort", () => {
      inbox.fail(abort.signal.reason);
      this.#fail(streamId, abort.signal.reason);
    });
    try {
      await this.#handle(streamId, bound, request, { inbox, abort });
    } catch (error) {
      this.#fail(streamId, error);
    } finally {
      clearTimeout(timer);
    }
  }

  async #handle(streamId: number, bound: Bound, request: Request, { inbox, abort }: Running): Promise<void> {
    const { method, name } = bound;
    const metadata = new Map<string, string>();
    for (const { key, value } of request.metadata) {
      if (!metadata.has(key.toLowerCase())) metadata.set(key.toLowerCase(), value);
    }
    const context: CallContext = { signal: abort.signal, metadata };
    const input = takesStream(method) ? messages(method.input, inbox) : decode(method.input, request.payload);
    const traced = this.#options.traced?.(name) !== false;
    const run = async (): Promise<unknown> => {
      if (method.methodKind === "unary" || method.methodKind === "client_streaming") {
        const handler = bound.handler as (input: unknown, context: CallContext) => Promise<unknown>; // by methodKind
        const reply = await handler(input, context);
        this.#respond(streamId, encode(method.output, reply));
        return reply;
      }
      const handler = bound.handler as (input: unknown, context: CallContext) => AsyncIterable<unknown>; // by methodKind
      for await (const reply of handler(input, context)) {
        if (abort.signal.aborted) return undefined;
        await this.#send(streamId, 0, encode(method.output, reply));
      }
      if (this.#finish(streamId)) await this.#send(streamId, flag.remoteClosed | flag.noData, new Uint8Array());
      return undefined;
    };
    if (!traced) return void (await run());
    await withTraceparent(metadata.get("traceparent"), () =>
      withSpan(name, { "rpc.side": "server", "rpc.request": takesStream(method) ? undefined : input }, async (span) =>
        span.set({ "rpc.reply": await run() }),
      ),
    );
  }

  #send(streamId: number, flags: number, data: Uint8Array): Promise<void> | undefined {
    return writeMessage(this.#stream, { streamId, type: messageType.data, flags, data });
  }

  /** True for the first that ends the stream: what comes later is not sent. */
  #finish(streamId: number): boolean {
    return this.#running.delete(streamId);
  }

  #respond(streamId: number, payload: Uint8Array): void {
    if (payload.length > maxMessageBytes - 16) {
      throw new TripodError("exhausted", `reply of ${payload.length} bytes: a ttrpc message holds ${maxMessageBytes}`);
    }
    if (!this.#finish(streamId)) return;
    this.#write(streamId, toBinary(ResponseSchema, create(ResponseSchema, { payload })));
  }

  #fail(streamId: number, error: unknown): void {
    if (this.#finish(streamId)) this.#status(streamId, grpcStatusOf(error), messageOf(error));
  }

  #refuse(streamId: number, code: ConstructorParameters<typeof TripodError>[0], why: string): void {
    const error = new TripodError(code, `ttrpc: ${why}`);
    this.#status(streamId, grpcStatusOf(error), error.message);
  }

  #status(streamId: number, code: number, message: string): void {
    const status = { code, message: message.slice(0, 64 * 1024) };
    this.#write(streamId, toBinary(ResponseSchema, create(ResponseSchema, { status })));
  }

  /** Sends a stream's last message. A peer that does not read its answers is not read either until it does. */
  #write(streamId: number, data: Uint8Array): void {
    const drained = writeMessage(this.#stream, { streamId, type: messageType.response, flags: 0, data });
    if (drained === undefined) return;
    this.#stream.pause();
    void drained.then(() => this.#stream.resume());
  }

  /** Lets running calls end for a moment, then closes. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { promise: moment, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, 1000);
    await Promise.race([Promise.all(this.#work), moment, this.closed]);
    clearTimeout(timer);
    this.#stream.end(() => this.#stream.destroy());
    if (this.#stream.writableNeedDrain) this.#stream.destroy();
    await this.closed;
  }
}

const takesStream = (method: DescMethod): boolean =>
  method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming";

const encode = (desc: DescMethod["output"], value: unknown): Uint8Array =>
  toBinary(desc, create(desc, value as MessageInitShape<typeof desc>)); // typed by ServiceImpl<S>

function decode(desc: DescMethod["input"], bytes: Uint8Array): unknown {
  try {
    return fromBinary(desc, bytes);
  } catch (error) {
    throw new TripodError("invalid", `${desc.name} does not decode: ${messageOf(error)}`);
  }
}

async function* messages(desc: DescMethod["input"], inbox: Inbox): AsyncGenerator<unknown, void, undefined> {
  for await (const bytes of inbox) yield decode(desc, bytes);
}
