/** A finished span as it is kept in the ring and, a JSON line each, on disk. */
export interface SpanRecord {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  /** Unix time in milliseconds, with fractions. */
  readonly startMs: number;
  readonly durationMs: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  /** Why it failed; absent when it did not. */
  readonly error?: string;
}
