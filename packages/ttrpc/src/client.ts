import { connect } from "node:net";
import type { Duplex } from "node:stream";
import {
  create,
  type DescMethod,
  type DescService,
  fromBinary,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import { RequestSchema, type Response, ResponseSchema } from "@tripod/api/ttrpc";
import { isNodeError, messageOf, TripodError } from "@tripod/base";
import { codeOfGrpcStatus } from "@tripod/grpc";
import { currentTraceparent, withSpan } from "@tripod/trace";
import { type Frame, FrameReader, flag, messageType } from "./frame.ts";
import { Inbox } from "./inbox.ts";
import type { CallOptions, Client } from "./service.ts";
import { writeMessage } from "./write-message.ts";

export interface TtrpcClientOptions {
  /** What the other end is, for messages: a socket's path, a plugin's name. */
  readonly peer: string;
  /** Sent with every call. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Whether a unary call makes a span on the caller's side; true unless told. */
  readonly traced?: (method: string) => boolean;
}

/** A call that waits. */
interface Pending {
  data(message: Uint8Array): void;
  /** The stream is over: with a response, or after its last data (undefined). */
  end(response: Response | undefined): void;
  fail(error: TripodError): void;
}

/** How long Node's timers can wait; a longer deadline is none. */
const maxTimerMs = 2 ** 31 - 1;

/** The calling side of one connection, which it owns. Any number of calls at once; one connection, never made again. */
export class TtrpcClient implements Disposable {
  readonly #stream: Duplex;
  readonly #options: TtrpcClientOptions;
  readonly #calls = new Map<number, Pending>();
  readonly #closed = Promise.withResolvers<void>();
  #nextId = 1;
  #broken: TripodError | undefined;

  constructor(stream: Duplex, options: TtrpcClientOptions) {
    this.#stream = stream;
    this.#options = options;
    const reader = new FrameReader();
    stream.on("data", (chunk: Buffer) => {
      try {
        for (const frame of reader.push(chunk)) this.#receive(frame);
      } catch (error) {
        this.#break(`sent what is not ttrpc: ${messageOf(error)}`, error);
      }
    });
    stream.on("error", (error) => this.#break(`connection failed: ${error.message}`, error));
    stream.on("end", () => this.#break("closed the connection"));
    stream.on("close", () => this.#break("closed the connection"));
  }

  /** Resolves when the connection is gone, whoever ended it. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** The methods of `service` over this connection. */
  client<S extends DescService>(service: S): Client<S> {
    const methods: Record<string, unknown> = {};
    for (const method of service.methods) methods[method.localName] = this.#method(service, method);
    return methods as Client<S>; // built from the same descriptor that the type maps
  }

  #method(service: DescService, method: DescMethod): unknown {
    const name = `${service.name}/${method.name}`;
    const spanned = (work: () => Promise<unknown>): Promise<unknown> =>
      this.#options.traced?.(name) === false ? work() : withSpan(name, { "rpc.side": "client" }, work);
    const call = { service, method, name };
    switch (method.methodKind) {
      case "unary":
        return (request: unknown, options: CallOptions = {}) => spanned(() => this.#one(call, request, options));
      case "client_streaming":
        return (requests: AsyncIterable<unknown>, options: CallOptions = {}) =>
          spanned(() => this.#one(call, undefined, options, requests));
      case "server_streaming":
        return (request: unknown, options: CallOptions = {}) => this.#many(call, request, options);
      default:
        return (requests: AsyncIterable<unknown>, options: CallOptions = {}) =>
          this.#many(call, undefined, options, requests);
    }
  }

  async #one(call: Call, request: unknown, options: CallOptions, requests?: AsyncIterable<unknown>): Promise<unknown> {
    const result = Promise.withResolvers<unknown>();
    const open = this.#open(call, request, options, requests, {
      data: () => result.reject(this.#error(call, "corrupt", "sent a stream where one reply was due")),
      end: (response) => {
        if (response === undefined) result.reject(this.#error(call, "corrupt", "ended the call without a reply"));
        else result.resolve(response);
      },
      fail: result.reject,
    });
    try {
      return this.#reply(call, (await result.promise) as Response); // resolved above alone
    } finally {
      open.close();
    }
  }

  async *#many(
    call: Call,
    request: unknown,
    options: CallOptions,
    requests?: AsyncIterable<unknown>,
  ): AsyncGenerator<unknown, void, undefined> {
    const inbox = new Inbox();
    const open = this.#open(call, request, options, requests, {
      data: (message) => inbox.push(message),
      end: (response) => {
        if (response === undefined) return inbox.close();
        try {
          this.#check(call, response);
          if (response.payload.length > 0) inbox.push(response.payload);
          inbox.close();
        } catch (error) {
          inbox.fail(error);
        }
      },
      fail: (error) => inbox.fail(error),
    });
    try {
      for await (const message of inbox) yield this.#decode(call, message);
    } finally {
      open.close();
    }
  }

  /** Sends the request and watches the deadline and the signal; what comes back goes to `pending` until close(). */
  #open(
    call: Call,
    request: unknown,
    options: CallOptions,
    requests: AsyncIterable<unknown> | undefined,
    pending: Pending,
  ): { close(): void } {
    const { signal, timeoutMs } = options;
    const id = this.#nextId;
    let timer: NodeJS.Timeout | undefined;
    const cancel = (): void =>
      pending.fail(new TripodError("cancelled", `${call.name}: cancelled by the caller`, { cause: signal?.reason }));
    const close = (): void => {
      this.#calls.delete(id);
      clearTimeout(timer);
      signal?.removeEventListener("abort", cancel);
    };
    try {
      if (this.#broken !== undefined) throw this.#broken;
      if (id > 0xffff_ffff) throw this.#error(call, "exhausted", "has no stream number left; connect again");
      signal?.throwIfAborted();
      const metadata = { ...this.#options.metadata, ...options.metadata };
      const traceparent = currentTraceparent();
      if (traceparent !== undefined) metadata.traceparent ??= traceparent;
      const data = toBinary(
        RequestSchema,
        create(RequestSchema, {
          service: call.service.typeName,
          method: call.method.name,
          payload: request === undefined ? new Uint8Array() : encode(call.method.input, request),
          timeoutNano: timeoutMs === undefined ? 0n : BigInt(Math.max(1, Math.round(timeoutMs * 1e6))),
          metadata: Object.entries(metadata).map(([key, value]) => ({ key: key.toLowerCase(), value })),
        }),
      );
      const { methodKind } = call.method;
      const flags =
        methodKind === "unary" ? 0 : methodKind === "server_streaming" ? flag.remoteClosed : flag.remoteOpen;
      const drained = writeMessage(this.#stream, { streamId: id, type: messageType.request, flags, data });
      this.#nextId += 2;
      this.#calls.set(id, pending);
      if (timeoutMs !== undefined && timeoutMs <= maxTimerMs) {
        const late = `no answer within ${timeoutMs} ms`;
        timer = setTimeout(() => pending.fail(this.#error(call, "timeout", late)), timeoutMs);
      }
      signal?.addEventListener("abort", cancel, { once: true });
      if (requests !== undefined) void this.#sendAll(id, call, requests, pending, drained);
    } catch (error) {
      if (signal?.aborted === true) cancel();
      else pending.fail(error instanceof TripodError ? error : this.#error(call, "invalid", messageOf(error)));
    }
    return { close };
  }

  /** Sends each request of a stream, then its end; stops when the call is over. Never throws: a failure ends the call. */
  async #sendAll(
    id: number,
    call: Call,
    requests: AsyncIterable<unknown>,
    pending: Pending,
    drained: Promise<void> | undefined,
  ): Promise<void> {
    const send = (flags: number, data: Uint8Array) =>
      writeMessage(this.#stream, { streamId: id, type: messageType.data, flags, data });
    try {
      await drained;
      for await (const request of requests) {
        if (!this.#calls.has(id)) return;
        await send(0, encode(call.method.input, request));
      }
      if (this.#calls.has(id)) await send(flag.remoteClosed | flag.noData, new Uint8Array());
    } catch (error) {
      pending.fail(error instanceof TripodError ? error : this.#error(call, "invalid", messageOf(error)));
    }
  }

  #receive(frame: Frame): void {
    const pending = this.#calls.get(frame.streamId);
    if (pending === undefined) return; // the answer to a call that was given up
    if (frame.data === "too-large") {
      pending.fail(new TripodError("exhausted", `${this.#options.peer}: its answer exceeds 4 MiB`));
    } else if (frame.type === messageType.response) {
      pending.end(fromBinary(ResponseSchema, frame.data));
    } else if (frame.type === messageType.data) {
      if ((frame.flags & flag.noData) === 0) pending.data(frame.data);
      if ((frame.flags & flag.remoteClosed) !== 0) pending.end(undefined);
    } // other types are of a later protocol, and to be ignored
  }

  #break(why: string, cause?: unknown): void {
    if (this.#broken !== undefined) return;
    this.#broken = new TripodError("unavailable", `${this.#options.peer}: ${why}`, { cause });
    this.#stream.destroy();
    for (const pending of this.#calls.values()) pending.fail(this.#broken);
    this.#calls.clear();
    this.#closed.resolve();
  }

  #reply(call: Call, response: Response): unknown {
    this.#check(call, response);
    return this.#decode(call, response.payload);
  }

  #check(call: Call, response: Response): void {
    const code = response.status?.code ?? 0;
    if (code === 0) return;
    const detail = { method: call.name, peer: this.#options.peer, grpcStatus: code };
    throw new TripodError(codeOfGrpcStatus(code), response.status?.message ?? "", { detail });
  }

  #decode(call: Call, bytes: Uint8Array): unknown {
    try {
      return fromBinary(call.method.output, bytes);
    } catch (error) {
      throw this.#error(call, "corrupt", `sent a reply that does not decode: ${messageOf(error)}`);
    }
  }

  #error(call: Call, code: ConstructorParameters<typeof TripodError>[0], why: string): TripodError {
    return new TripodError(code, `${call.name}: ${this.#options.peer}: ${why}`);
  }

  [Symbol.dispose](): void {
    this.#break("connection was closed here");
  }
}

interface Call {
  readonly service: DescService;
  readonly method: DescMethod;
  readonly name: string;
}

const encode = (desc: DescMethod["input"], value: unknown): Uint8Array =>
  toBinary(desc, create(desc, value as MessageInitShape<typeof desc>)); // typed by Client<S>

export interface TtrpcConnectOptions extends Omit<TtrpcClientOptions, "peer"> {
  /** Absolute path of the unix socket. */
  readonly socket: string;
  readonly signal?: AbortSignal;
}

/** Connects to a unix socket; "unavailable" where nobody serves it. */
export async function connectTtrpc({ socket, signal, ...options }: TtrpcConnectOptions): Promise<TtrpcClient> {
  signal?.throwIfAborted();
  const stream = connect(socket);
  const abort = (): unknown => stream.destroy(new TripodError("cancelled", `connect to ${socket}: cancelled`));
  signal?.addEventListener("abort", abort, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      stream.once("connect", resolve);
      stream.once("error", reject);
    });
  } catch (error) {
    if (error instanceof TripodError) throw error;
    const why = isNodeError(error, "ENOENT") ? "there is no such socket" : messageOf(error);
    throw new TripodError("unavailable", `connect to ${socket}: ${why}; check that its server runs`, { cause: error });
  } finally {
    signal?.removeEventListener("abort", abort);
  }
  return new TtrpcClient(stream, { ...options, peer: socket });
}
