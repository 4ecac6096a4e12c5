import assert from "node:assert/strict";
import { test } from "node:test";
import { Demand } from "./demand.ts";

const { signal } = new AbortController();

test("quiet comes once nobody waits any more, and not before", async () => {
  const demand = new Demand();
  const work = Promise.withResolvers<void>();
  const waiting = demand.during(() => work.promise);
  let isQuiet = false;
  const quiet = demand.quiet({ quietMs: 5, withinMs: 60_000, signal }).then(() => (isQuiet = true));
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setTimeout(resolve, 1));
  assert(!isQuiet);
  work.resolve();
  await waiting;
  await quiet;
});

test("quiet is not waited for longer than told, nor when nobody wants it", async () => {
  const demand = new Demand();
  void demand.during(() => new Promise<void>(() => undefined));
  await demand.quiet({ quietMs: 60_000, withinMs: 5, signal });
  await demand.quiet({ quietMs: 60_000, withinMs: 60_000, signal: AbortSignal.abort() });
});
