import { chmodSync, rmSync } from "node:fs";
import type { EventEmitter } from "node:events";
import { connect } from "node:net";
import type {
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  Server,
  ServerCredentials,
  type UntypedHandleCall,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { messageOf, TripodError } from "@tripod/base";
import { withSpan, withTraceparent } from "@tripod/trace";
import { serviceDefinition } from "./definition.ts";
import { grpcStatusOf } from "./status.ts";

/** What a handler is told beside its request. */
export interface CallContext {
  /** Aborted when the caller cancels, its deadline passes, or the connection breaks. */
  readonly signal: AbortSignal;
  /** The caller's metadata, by lower-case name. */
  readonly metadata: ReadonlyMap<string, string>;
}

/**
 * Handlers of a generated service, by the method's camel-case name: a unary one returns the reply, a server-streaming one yields
 * replies. A method left out answers UNIMPLEMENTED; a thrown TripodError answers with the status of its code.
 */
export type ServiceImpl<S extends DescService> = {
  [K in keyof S["method"]]?: S["method"][K] extends DescMethodUnary<infer I, infer O>
    ? (request: MessageShape<I>, context: CallContext) => Promise<MessageInitShape<O>>
    : S["method"][K] extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageShape<I>, context: CallContext) => AsyncIterable<MessageInitShape<O>>
      : never;
};

/** A service together with what answers it. */
export interface ServiceBinding {
  readonly service: DescService;
  readonly handlers: Readonly<Record<string, unknown>>;
}

/** Binds handlers to a generated service. */
export const implement = <S extends DescService>(service: S, handlers: ServiceImpl<S>): ServiceBinding => ({
  service,
  handlers: handlers as Readonly<Record<string, unknown>>, // the mapped type above; its keys are method names
});

export interface ServeOptions {
  /** Absolute path of the unix socket. One left by a dead process is replaced; a live one is an "already-exists" error. */
  readonly socket: string;
  readonly services: readonly ServiceBinding[];
  /** Permission bits of the socket; 0o660 unless told. */
  readonly mode?: number;
  /** The largest request in bytes; 16 MiB unless told. */
  readonly maxReceiveBytes?: number;
  /** Whether a call makes a span with its request and reply; true for all unless told. */
  readonly traced?: (method: string) => boolean;
}

/** Calls that one connection may have under way; its client waits with the others. */
const maxStreams = 1000;

/** A running server; disposing it lets calls end for a moment, then closes and removes the socket. */
export interface GrpcServer extends AsyncDisposable {
  readonly socket: string;
}

type Call =
  | Parameters<handleUnaryCall<unknown, unknown>>[0]
  | Parameters<handleServerStreamingCall<unknown, unknown>>[0];

function contextOf(call: Call): CallContext {
  const abort = new AbortController();
  // Both kinds of call are EventEmitters; TypeScript cannot call a union of overloaded methods.
  (call as EventEmitter).on("cancelled", () => abort.abort(new TripodError("cancelled", "the caller went away")));
  const metadata = new Map(Object.entries(call.metadata.getMap()).map(([key, value]) => [key, String(value)]));
  return { signal: abort.signal, metadata };
}

/** A status travels in a header, which peers take up to some kilobytes of; a character may take nine bytes in it. */
const maxDetails = 1500;

const toStatusObject = (error: unknown) => {
  const message = messageOf(error);
  const details = message.length > maxDetails ? `${message.slice(0, maxDetails)}…` : message;
  return { code: grpcStatusOf(error), details, metadata: new Metadata() };
};

function bind(binding: ServiceBinding, traced: (method: string) => boolean): UntypedServiceImplementation {
  const handlers: Record<string, UntypedHandleCall> = {};
  for (const method of binding.service.methods) {
    const handler = binding.handlers[method.localName];
    if (handler === undefined) continue; // grpc-js answers UNIMPLEMENTED
    const name = `${binding.service.name}/${method.name}`;
    const spanned = <T>(call: Call, context: CallContext, work: () => Promise<T>): Promise<T> => {
      if (!traced(name)) return work();
      return withTraceparent(context.metadata.get("traceparent"), () =>
        withSpan(name, { "rpc.side": "server", "rpc.request": call.request }, async (span) => {
          const reply = await work();
          span.set({ "rpc.reply": reply });
          return reply;
        }),
      );
    };
    if (method.methodKind === "unary") {
      const run = handler as (request: unknown, context: CallContext) => Promise<unknown>; // by methodKind
      handlers[method.localName] = ((call, callback) => {
        const context = contextOf(call);
        spanned(call, context, async () => run(call.request, context)).then(
          (reply) => callback(null, reply),
          (error: unknown) => callback(toStatusObject(error)),
        );
      }) as handleUnaryCall<unknown, unknown>;
    } else if (method.methodKind === "server_streaming") {
      const run = handler as (request: unknown, context: CallContext) => AsyncIterable<unknown>; // by methodKind
      handlers[method.localName] = ((call) => {
        const context = contextOf(call);
        const send = async (): Promise<void> => {
          for await (const reply of run(call.request, context)) {
            if (context.signal.aborted) return;
            if (!call.write(reply)) {
              await new Promise<void>((resolve) => {
                call.once("drain", resolve);
                context.signal.addEventListener("abort", () => resolve(), { once: true });
              });
            }
          }
        };
        send().then(
          () => call.end(),
          (error: unknown) => call.emit("error", toStatusObject(error)),
        );
      }) as handleServerStreamingCall<unknown, unknown>;
    }
  }
  return handlers;
}

/** True when a process accepts connections on the unix socket. */
export function socketIsLive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", () => resolve(false));
  });
}

/** Serves generated services on a unix socket. */
export async function serveGrpc(options: ServeOptions): Promise<GrpcServer> {
  const { socket, mode = 0o660, maxReceiveBytes = 16 * 1024 * 1024 } = options;
  if (await socketIsLive(socket)) {
    throw new TripodError(
      "already-exists",
      `listen on ${socket}: another process is serving it; stop that one or use another --root`,
    );
  }
  rmSync(socket, { force: true });
  const server = new Server({
    "grpc.max_receive_message_length": maxReceiveBytes,
    "grpc.max_send_message_length": -1,
    "grpc.max_concurrent_streams": maxStreams,
  });
  for (const binding of options.services)
    server.addService(serviceDefinition(binding.service), bind(binding, options.traced ?? (() => true)));
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (cause) => {
      if (cause === null) resolve();
      else reject(new TripodError("unavailable", `listen on ${socket}: ${cause.message}`, { cause }));
    });
  });
  chmodSync(socket, mode);
  return {
    socket,
    async [Symbol.asyncDispose]() {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(() => server.forceShutdown(), 1000);
        server.tryShutdown(() => {
          clearTimeout(timer);
          resolve();
        });
      });
      rmSync(socket, { force: true });
    },
  };
}
