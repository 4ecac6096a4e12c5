import {
  type Attributes,
  type Context,
  context,
  ROOT_CONTEXT,
  type Span,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import { redact } from "./redact.ts";

const tracer = trace.getTracer("tripod");

/** What a span may be told: JSON-like values are redacted and stored as JSON text. */
export type SpanAttributes = Readonly<Record<string, unknown>>;

const toAttributes = (attributes: SpanAttributes): Attributes => {
  const converted: Attributes = {};
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined) continue;
    converted[key] =
      typeof value === "object"
        ? JSON.stringify(redact(value))
        : typeof value === "bigint"
          ? Number(value)
          : (value as string | number | boolean); // the remaining primitives
  }
  return converted;
};

/** A span in progress. */
export interface ActiveSpan {
  /** Adds facts; objects become JSON with secrets taken out. */
  set(attributes: SpanAttributes): void;
}

const activeSpan = (span: Span): ActiveSpan => ({ set: (attributes) => span.setAttributes(toAttributes(attributes)) });

const fail = (span: Span, error: unknown): void => {
  span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.message : String(error) });
};

/** Runs `work` inside a span, a child of the current one; a throw marks the span and passes on. */
export async function withSpan<T>(
  name: string,
  attributes: SpanAttributes,
  work: (span: ActiveSpan) => Promise<T>,
): Promise<T> {
  return tracer.startActiveSpan(name, { attributes: toAttributes(attributes) }, async (span) => {
    try {
      return await work(activeSpan(span));
    } catch (error) {
      fail(span, error);
      throw error;
    } finally {
      span.end();
    }
  });
}

/** As withSpan, for work of one synchronous step. */
export function withSpanSync<T>(name: string, attributes: SpanAttributes, work: (span: ActiveSpan) => T): T {
  return tracer.startActiveSpan(name, { attributes: toAttributes(attributes) }, (span) => {
    try {
      return work(activeSpan(span));
    } catch (error) {
      fail(span, error);
      throw error;
    } finally {
      span.end();
    }
  });
}

/** The current span as a W3C traceparent header value; undefined outside any. */
export function currentTraceparent(): string | undefined {
  const found = trace.getActiveSpan()?.spanContext();
  return found === undefined ? undefined : `00-${found.traceId}-${found.spanId}-01`;
}

const traceparentPattern = /^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$/;

/** Runs `work` as a child of the span that a peer named in its traceparent; a missing or malformed one is as none. */
export function withTraceparent<T>(traceparent: string | undefined, work: () => T): T {
  const match = traceparentPattern.exec(traceparent ?? "");
  let parent: Context = ROOT_CONTEXT;
  if (match?.[1] !== undefined && match[2] !== undefined) {
    parent = trace.setSpanContext(ROOT_CONTEXT, { traceId: match[1], spanId: match[2], traceFlags: 1, isRemote: true });
  }
  return context.with(parent, work);
}
