import type {
  DescMethodBiDiStreaming,
  DescMethodClientStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";

/** What a handler is told beside its request. */
export interface CallContext {
  /** Aborted when the caller's time is over or the connection breaks. ttrpc has no message by which a caller cancels. */
  readonly signal: AbortSignal;
  /** The caller's metadata, by lower-case name; the first value of each. */
  readonly metadata: ReadonlyMap<string, string>;
}

/**
 * Handlers of a generated service, by the method's camel-case name, in the shapes of `@tripod/grpc`, and streams of requests too. A
 * method left out answers UNIMPLEMENTED; a thrown TripodError answers with the status of its code.
 */
export type ServiceImpl<S extends DescService> = {
  [K in keyof S["method"]]?: S["method"][K] extends DescMethodUnary<infer I, infer O>
    ? (request: MessageShape<I>, context: CallContext) => Promise<MessageInitShape<O>>
    : S["method"][K] extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageShape<I>, context: CallContext) => AsyncIterable<MessageInitShape<O>>
      : S["method"][K] extends DescMethodClientStreaming<infer I, infer O>
        ? (requests: AsyncIterable<MessageShape<I>>, context: CallContext) => Promise<MessageInitShape<O>>
        : S["method"][K] extends DescMethodBiDiStreaming<infer I, infer O>
          ? (requests: AsyncIterable<MessageShape<I>>, context: CallContext) => AsyncIterable<MessageInitShape<O>>
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

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** The deadline of the whole call, told to the server too; none unless given. */
  readonly timeoutMs?: number;
  /** Sent with the call, over the connection's own. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** A typed client: one reply is a promise, many are iterated, many requests are given as an iterable. Failures are TripodErrors. */
export type Client<S extends DescService> = {
  readonly [K in keyof S["method"]]: S["method"][K] extends DescMethodUnary<infer I, infer O>
    ? (request: MessageInitShape<I>, options?: CallOptions) => Promise<MessageShape<O>>
    : S["method"][K] extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageInitShape<I>, options?: CallOptions) => AsyncIterable<MessageShape<O>>
      : S["method"][K] extends DescMethodClientStreaming<infer I, infer O>
        ? (requests: AsyncIterable<MessageInitShape<I>>, options?: CallOptions) => Promise<MessageShape<O>>
        : S["method"][K] extends DescMethodBiDiStreaming<infer I, infer O>
          ? (requests: AsyncIterable<MessageInitShape<I>>, options?: CallOptions) => AsyncIterable<MessageShape<O>>
          : never;
};
