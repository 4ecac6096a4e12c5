import { setTimeout as delay } from "node:timers/promises";
import { readSpans, type SpanRecord } from "@tripod/trace";
import { percentile } from "./statistics.ts";

/** Spans reach the disk some moments after their end, in milliseconds. */
const flushMs = 500;

/** What the spans under `dir` that began after `since` (milliseconds since 1970) say, as a table: own time is without the spans within. */
export async function spanTable(dir: string, { since }: { readonly since: number }): Promise<string> {
  await delay(flushMs);
  const spans: SpanRecord[] = [];
  for await (const span of readSpans(dir)) if (span.startMs >= since) spans.push(span);
  const within = new Map<string, number>();
  for (const { parentSpanId, durationMs } of spans)
    if (parentSpanId !== undefined) within.set(parentSpanId, (within.get(parentSpanId) ?? 0) + durationMs);
  const byName = Map.groupBy(spans, ({ name }) => name);
  const rows = [...byName].map(([name, list]) => ({
    name,
    count: list.length,
    p50: percentile(
      list.map(({ durationMs }) => durationMs),
      50,
    ),
    p95: percentile(
      list.map(({ durationMs }) => durationMs),
      95,
    ),
    own: percentile(
      list.map(({ spanId, durationMs }) => durationMs - (within.get(spanId) ?? 0)),
      50,
    ),
  }));
  const cells = (values: readonly string[]): string => values.map((value) => value.padStart(10)).join("");
  return [
    `\n${"span, ms".padEnd(36)}${cells(["number", "p50", "p95", "own p50"])}`,
    ...rows
      .sort((a, b) => b.p50 - a.p50)
      .map(
        ({ name, count, p50, p95, own }) =>
          `${name.padEnd(36)}${cells([String(count), p50.toFixed(1), p95.toFixed(1), own.toFixed(1)])}`,
      ),
    "",
  ].join("\n");
}
