export { redact } from "./redact.ts";
export { readSpans } from "./span-file.ts";
export type { SpanRecord } from "./span-record.ts";
export { Tracing, type TracingOptions } from "./tracing.ts";
export {
  type ActiveSpan,
  currentTraceparent,
  type SpanAttributes,
  withSpan,
  withSpanSync,
  withTraceparent,
} from "./with-span.ts";
