import { context, propagation, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { BasicTracerProvider, type ReadableSpan, type SpanProcessor } from "@opentelemetry/sdk-trace-base";
import type { SpanRecord } from "./span-record.ts";
import { SpanFile } from "./span-file.ts";

export interface TracingOptions {
  /** Where span files go; without it spans are kept in memory alone. */
  readonly dir?: string;
  /** How many finished spans stay in memory; 20,000 unless told. */
  readonly ringSize?: number;
}

/** Collects the finished spans of this process: a ring in memory, JSON lines on disk. */
export class Tracing implements AsyncDisposable {
  readonly #ring: SpanRecord[] = [];
  readonly #ringSize: number;
  readonly #file: SpanFile | undefined;
  #oldest = 0;

  private constructor(options: TracingOptions) {
    this.#ringSize = options.ringSize ?? 20_000;
    this.#file = options.dir === undefined ? undefined : new SpanFile(options.dir);
  }

  /** Makes this the process's tracer; once a process. */
  static start(options: TracingOptions): Tracing {
    const tracing = new Tracing(options);
    const processor: SpanProcessor = {
      onStart() {},
      onEnd: (span) => tracing.#keep(toRecord(span)),
      forceFlush: async () => {},
      shutdown: async () => {},
    };
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [processor] }));
    return tracing;
  }

  /** The spans in memory, oldest first. */
  spans(): SpanRecord[] {
    return [...this.#ring.slice(this.#oldest), ...this.#ring.slice(0, this.#oldest)];
  }

  #keep(record: SpanRecord): void {
    if (this.#ring.length < this.#ringSize) this.#ring.push(record);
    else {
      this.#ring[this.#oldest] = record;
      this.#oldest = (this.#oldest + 1) % this.#ringSize;
    }
    this.#file?.append(record);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    trace.disable();
    context.disable();
    propagation.disable();
    await this.#file?.close();
  }
}

const milliseconds = ([seconds, nanoseconds]: [number, number]): number => seconds * 1000 + nanoseconds / 1e6;

function toRecord(span: ReadableSpan): SpanRecord {
  const { traceId, spanId } = span.spanContext();
  const parent = span.parentSpanContext?.spanId;
  return {
    traceId,
    spanId,
    ...(parent === undefined ? {} : { parentSpanId: parent }),
    name: span.name,
    startMs: milliseconds(span.startTime),
    durationMs: milliseconds(span.duration),
    attributes: span.attributes,
    ...(span.status.message === undefined ? {} : { error: span.status.message }),
  };
}
