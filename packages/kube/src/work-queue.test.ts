import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@tripod/base";
import { WorkQueue } from "./work-queue.ts";

const options = { name: "test", log: silentLogger };

test("a key asked for while it is worked on is worked on once more, never twice at once", async () => {
  const started: string[] = [];
  const gates: (() => void)[] = [];
  await using queue = new WorkQueue(options, async (key) => {
    started.push(key);
    await new Promise<void>((resolve) => gates.push(resolve));
  });
  queue.add("a");
  queue.add("a");
  queue.add("a");
  queue.add("b");
  assert.deepEqual(started, ["a", "b"]);
  queue.add("b");
  gates[1]?.();
  while (gates.length < 3) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(started, ["a", "b", "b"]);
  for (const open of gates) open();
  while (gates.length < 4) await new Promise((resolve) => setImmediate(resolve));
  gates[3]?.();
  await queue.idle();
  assert.deepEqual(started, ["a", "b", "b", "a"]);
});

test("a failing key comes again, later each time, and others are not held up", async () => {
  const times: number[] = [];
  const { promise: done, resolve } = Promise.withResolvers<void>();
  const others: string[] = [];
  await using queue = new WorkQueue({ ...options, concurrency: 1, firstDelayMs: 4 }, async (key) => {
    if (key !== "bad") {
      others.push(key);
      return;
    }
    times.push(performance.now());
    if (times.length < 5) throw new Error("not yet");
    resolve();
  });
  queue.add("bad");
  queue.add("good");
  await queue.idle();
  assert.deepEqual(others, ["good"]);
  await done;
  assert.ok((times[4] ?? 0) - (times[0] ?? 0) >= 4 + 8 + 16 + 32 - 4);
  await queue.idle();
  assert.equal(queue.failuresOf("bad"), 0);
});

test("closing ends the work that runs and drops what waits", async () => {
  const signals: AbortSignal[] = [];
  const queue = new WorkQueue({ ...options, concurrency: 1 }, async (_key, signal) => {
    signals.push(signal);
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
  });
  queue.add("a");
  queue.add("b");
  queue.addAfter("c", 60_000);
  await queue.close();
  assert.equal(signals.length, 1);
  assert.equal(signals[0]?.aborted, true);
});
