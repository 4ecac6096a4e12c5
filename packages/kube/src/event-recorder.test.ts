import assert from "node:assert/strict";
import { test } from "node:test";
import type { Event, Stored } from "@tripod/api/kubernetes";
import { silentLogger, TripodError } from "@tripod/base";
import { EventCorrelator } from "./event-correlator.ts";
import { EventRecorder } from "./event-recorder.ts";

const key = (message: string, reason = "Failed", object = "Pod/default/a/u") =>
  ({ object, type: "Warning", reason, message }) as const;

test("the same event again is a repeat of the one written", () => {
  const correlator = new EventCorrelator();
  const first = correlator.correlate(key("x"), 0);
  assert.equal(first.kind, "new");
  if (first.kind === "new") correlator.written(first.cacheKey, "a.1");
  const again = correlator.correlate(key("x"), 1);
  assert.equal(again.kind, "repeat");
  if (again.kind === "repeat") assert.deepEqual([again.name, again.count], ["a.1", 2]);
  assert.equal(correlator.correlate(key("y"), 1).kind, "new");
});

test("more than ten messages of one reason are combined", () => {
  const correlator = new EventCorrelator();
  for (let index = 0; index < 10; index += 1) assert.equal(correlator.correlate(key(`m${index}`), 0).kind, "new");
  const combined = correlator.correlate(key("m10"), 0);
  assert.ok(combined.kind === "new");
  assert.equal(combined.message, "(combined from similar events): m10");
  correlator.written(combined.cacheKey, "a.11");
  const next = correlator.correlate(key("m11"), 0);
  assert.ok(next.kind === "repeat" && next.name === "a.11");
  assert.equal(correlator.correlate(key("m12"), 700_000).kind, "new");
});

test("an object has 25 events at once, then one in five minutes; another object its own", () => {
  const correlator = new EventCorrelator();
  for (let index = 0; index < 25; index += 1) assert.notEqual(correlator.correlate(key("x"), 0).kind, "drop");
  assert.equal(correlator.correlate(key("x"), 0).kind, "drop");
  assert.notEqual(correlator.correlate(key("x", "Failed", "Pod/default/b/v"), 0).kind, "drop");
  assert.notEqual(correlator.correlate(key("x"), 300_001).kind, "drop");
});

test("the recorder writes, counts, and writes anew what somebody deleted", async () => {
  const created: Event[] = [];
  const patches: unknown[] = [];
  let isGone = false;
  const stored = (event: Event): Stored<Event> => ({
    ...event,
    metadata: {
      ...event.metadata,
      name: event.metadata.name ?? "",
      uid: "u",
      resourceVersion: "1",
      creationTimestamp: "",
    },
  });
  const recorder = new EventRecorder({
    component: "test",
    host: "n1",
    log: silentLogger,
    events: {
      async create(event) {
        created.push(event);
        return stored(event);
      },
      async patch(name, patch) {
        if (isGone) throw new TripodError("not-found", `no ${name}`);
        patches.push(patch);
        return stored({ metadata: {}, involvedObject: {} });
      },
    },
  });
  const about = { apiVersion: "v1", kind: "Pod", metadata: { name: "web", namespace: "default", uid: "u1" } };
  const event = { about, type: "Warning", reason: "BackOff", message: "m".repeat(2000) } as const;
  recorder.record(event);
  recorder.record(event);
  await until(() => patches.length === 1);
  isGone = true;
  recorder.record(event);
  await recorder.close();
  assert.equal(created.length, 2);
  assert.equal(created[0]?.message?.length, 1024);
  assert.deepEqual(created[0]?.involvedObject, {
    apiVersion: "v1",
    kind: "Pod",
    name: "web",
    namespace: "default",
    uid: "u1",
  });
  assert.deepEqual(created[0]?.source, { component: "test", host: "n1" });
  assert.deepEqual(
    patches.map((patch) => Object(patch).count),
    [2],
  );
  assert.notEqual(created[1]?.metadata.name, created[0]?.metadata.name);
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
