import assert from "node:assert/strict";
import { test } from "node:test";
import { formatDuration, parseDuration } from "./duration.ts";
import { formatMicroTime, formatTime, microTimeNow, parseTime, timeNow } from "./time.ts";

test("times are read in any zone and printed in UTC", () => {
  assert.equal(formatTime(parseTime("2024-02-29T23:00:00.999-02:00")), "2024-03-01T01:00:00Z");
  assert.equal(formatMicroTime(parseTime("2024-01-01T00:00:00.1234567Z")), "2024-01-01T00:00:00.123456Z");
  assert.equal(timeNow(new Date(1500)), "1970-01-01T00:00:01Z");
  assert.equal(microTimeNow(new Date(1500)), "1970-01-01T00:00:01.500000Z");
  for (const bad of ["", "2024", "2024-01-01", "2024-01-01 00:00:00Z", "2024-13-01T00:00:00Z", "x".repeat(100)])
    assert.throws(() => parseTime(bad), { code: "invalid" });
});

const durations: readonly (readonly [text: string, nanos: bigint, canonical: string])[] = [
  ["0", 0n, "0s"],
  ["10s", 10_000_000_000n, "10s"],
  ["1h30m", 5_400_000_000_000n, "1h30m0s"],
  ["1.5s", 1_500_000_000n, "1.5s"],
  ["-90s", -90_000_000_000n, "-1m30s"],
  ["250ms", 250_000_000n, "250ms"],
  ["1.5us", 1_500n, "1.5µs"],
  ["7ns", 7n, "7ns"],
];
for (const [text, nanos, canonical] of durations)
  test(`duration ${text} is printed as ${canonical}`, () => {
    assert.equal(parseDuration(text), nanos);
    assert.equal(formatDuration(nanos), canonical);
  });
for (const bad of ["", "s", "1", "1x", "1s2", "1..s", " 1s"])
  test(`duration ${JSON.stringify(bad)} is refused`, () =>
    assert.throws(() => parseDuration(bad), { code: "invalid" }));
