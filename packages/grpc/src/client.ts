import type {
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { Client as Channel, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { TripodError } from "@tripod/base";
import { currentTraceparent, withSpan } from "@tripod/trace";
import { methodDefinition } from "./definition.ts";
import { codeOfGrpcStatus } from "./status.ts";

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** The deadline of the whole call; none unless told. */
  readonly timeoutMs?: number;
}

/** A typed client: a unary method resolves with the reply, a server-streaming one is iterated. Failures are TripodErrors. */
export type Client<S extends DescService> = {
  readonly [K in keyof S["method"]]: S["method"][K] extends DescMethodUnary<infer I, infer O>
    ? (request: MessageInitShape<I>, options?: CallOptions) => Promise<MessageShape<O>>
    : S["method"][K] extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageInitShape<I>, options?: CallOptions) => AsyncIterable<MessageShape<O>>
      : never;
};

export interface ConnectOptions {
  /** Absolute path of the unix socket. */
  readonly socket: string;
  /** The largest reply in bytes; 16 MiB unless told. */
  readonly maxReceiveBytes?: number;
  /** Whether a unary call makes a span on the caller's side; true unless told. */
  readonly traced?: (method: string) => boolean;
}

/** A connection to a unix socket, made at the first call and again after it broke. */
export class GrpcChannel implements Disposable {
  readonly #channel: Channel;
  readonly #options: ConnectOptions;

  constructor(options: ConnectOptions) {
    this.#options = options;
    this.#channel = new Channel(`unix:${options.socket}`, credentials.createInsecure(), {
      "grpc.default_authority": "localhost",
      "grpc.max_receive_message_length": options.maxReceiveBytes ?? 16 * 1024 * 1024,
      "grpc.max_send_message_length": -1,
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 1000,
      "grpc.enable_retries": 0,
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  /** The methods of `service` over this connection. */
  client<S extends DescService>(service: S): Client<S> {
    const methods: Record<string, unknown> = {};
    for (const method of service.methods) {
      const definition = methodDefinition(service, method);
      const name = `${service.name}/${method.name}`;
      if (method.methodKind === "unary") {
        methods[method.localName] = (request: unknown, options: CallOptions = {}) =>
          this.#unary(name, definition, request, options);
      } else if (method.methodKind === "server_streaming") {
        methods[method.localName] = (request: unknown, options: CallOptions = {}) =>
          this.#stream(name, definition, request, options);
      }
    }
    return methods as Client<S>; // built from the same descriptor that the type maps
  }

  async #unary(
    name: string,
    definition: ReturnType<typeof methodDefinition>,
    request: unknown,
    options: CallOptions,
  ): Promise<unknown> {
    const work = (): Promise<unknown> =>
      new Promise((resolve, reject) => {
        const call = this.#channel.makeUnaryRequest(
          definition.path,
          definition.requestSerialize,
          definition.responseDeserialize,
          request as Parameters<typeof definition.requestSerialize>[0], // typed by Client<S>
          metadata(),
          deadline(options),
          (error, reply) => {
            options.signal?.removeEventListener("abort", cancel);
            if (error === null) resolve(reply);
            else reject(toError(name, this.#options.socket, error));
          },
        );
        const cancel = (): void => call.cancel();
        if (options.signal?.aborted) call.cancel();
        else options.signal?.addEventListener("abort", cancel, { once: true });
      });
    if (this.#options.traced?.(name) === false) return work();
    return withSpan(name, { "rpc.side": "client" }, work);
  }

  async *#stream(
    name: string,
    definition: ReturnType<typeof methodDefinition>,
    request: unknown,
    options: CallOptions,
  ): AsyncGenerator<unknown, void, undefined> {
    const call = this.#channel.makeServerStreamRequest(
      definition.path,
      definition.requestSerialize,
      definition.responseDeserialize,
      request as Parameters<typeof definition.requestSerialize>[0], // typed by Client<S>
      metadata(),
      deadline(options),
    );
    const cancel = (): void => call.cancel();
    if (options.signal?.aborted) call.cancel();
    else options.signal?.addEventListener("abort", cancel, { once: true });
    try {
      for await (const reply of call) yield reply;
    } catch (error) {
      throw toError(name, this.#options.socket, error as ServiceError); // grpc-js emits ServiceErrors alone
    } finally {
      options.signal?.removeEventListener("abort", cancel);
      call.cancel();
    }
  }

  [Symbol.dispose](): void {
    this.#channel.close();
  }
}

function metadata(): Metadata {
  const made = new Metadata();
  const traceparent = currentTraceparent();
  if (traceparent !== undefined) made.set("traceparent", traceparent);
  return made;
}

const deadline = (options: CallOptions) =>
  options.timeoutMs === undefined ? {} : { deadline: Date.now() + options.timeoutMs };

/** Why a socket could not be connected to, by errno. */
const refusals: Readonly<Record<string, string>> = {
  ENOENT: "there is no such socket",
  ECONNREFUSED: "nothing listens there",
  EACCES: "this process may not open it",
};

/** grpc-js wraps refused connections and deadlines in notes on its own inside; what counts is the socket and why. */
function messageFor(socket: string, error: ServiceError): string {
  const text = error.details === "" ? error.message : error.details;
  const seconds = /^Deadline exceeded after ([\d.]+)s\b/.exec(text)?.[1];
  if (seconds !== undefined)
    return `deadline exceeded: no answer from ${socket} within ${Number(Number(seconds).toFixed(1))} s`;
  const errno = /^No connection established\b.*\bconnect (E[A-Z]+)/s.exec(text)?.[1];
  if (errno === undefined) return text;
  return `connect to ${socket}: ${refusals[errno] ?? errno}; check that its server runs`;
}

const toError = (name: string, socket: string, error: ServiceError): TripodError =>
  new TripodError(codeOfGrpcStatus(error.code), messageFor(socket, error), {
    cause: error,
    detail: { method: name, socket, grpcStatus: error.code },
  });
