import { existsSync, watch } from "node:fs";
import type { SpanRecord } from "@tripod/trace";

/** How long a span that has not ended is waited for, in milliseconds. */
const waitMs = 1_500;

/** A span is written when it ends, parents after their children: while work goes on, or is not written yet, parents are missing. */
function isWhole(trace: readonly SpanRecord[]): boolean {
  const ids = new Set(trace.map(({ spanId }) => spanId));
  return trace.every(({ parentSpanId }) => parentSpanId === undefined || ids.has(parentSpanId));
}

/** Ended lately enough that its parents may still come. */
const isFresh = (trace: readonly SpanRecord[]): boolean =>
  Math.max(...trace.map(({ startMs, durationMs }) => startMs + durationMs)) > Date.now() - waitMs;

/**
 * What `read` finds, read again as spans are written to `dir` while the newest trace lacks the spans around its own: who asks right after a
 * Pod became Ready gets the whole of its start. After 1.5 s it takes what there is.
 */
export async function settledTraces(read: () => Promise<SpanRecord[][]>, dir: string): Promise<SpanRecord[][]> {
  let traces = await read();
  const unsettled = (): boolean => {
    const newest = traces.at(-1);
    return newest !== undefined && !isWhole(newest) && isFresh(newest);
  };
  if (!unsettled() || !existsSync(dir)) return traces;
  const giveUp = AbortSignal.timeout(waitMs);
  let change = Promise.withResolvers<void>();
  const watcher = watch(dir, () => change.resolve());
  giveUp.addEventListener("abort", () => change.resolve(), { once: true });
  try {
    while (unsettled() && !giveUp.aborted) {
      const next = change.promise;
      traces = await read();
      if (!unsettled()) break;
      await next;
      change = Promise.withResolvers<void>();
    }
  } finally {
    watcher.close();
  }
  return traces;
}
