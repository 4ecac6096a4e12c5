import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import type { SpanRecord } from "@tripod/trace";
import { settledTraces } from "./settled-traces.ts";

const dir = mkdtempSync("/tmp/tripod-trace-");
after(() => rmSync(dir, { recursive: true }));

const span = (spanId: string, parentSpanId: string | undefined, startMs: number): SpanRecord => ({
  traceId: "t",
  spanId,
  ...(parentSpanId === undefined ? {} : { parentSpanId }),
  name: spanId,
  startMs,
  durationMs: 1,
  attributes: {},
});

test("a trace whose outer span has not ended yet is read again when it is written", async () => {
  const child = span("child", "root", Date.now());
  const found: SpanRecord[] = [child];
  let reads = 0;
  const read = async () => {
    reads += 1;
    if (reads === 2) {
      // after the watch has begun, as the daemon would
      setImmediate(() => {
        found.push(span("root", undefined, Date.now()));
        writeFileSync(join(dir, "spans.jsonl"), "x");
      });
    }
    return [[...found]];
  };
  assert.equal((await settledTraces(read, dir))[0]?.length, 2);
});

test("what was cut off long ago is taken as it is", async () => {
  let reads = 0;
  const read = async () => {
    reads += 1;
    return [[span("child", "root", 1_000)]];
  };
  assert.equal((await settledTraces(read, dir)).length, 1);
  assert.equal(reads, 1);
});
