import assert from "node:assert/strict";
import { test } from "node:test";
import { formatIp, parseIp } from "@tripod/cni/sdk";
import { candidates, describeRange, parseRange, parseRangeSet, sizeOf } from "./address-range.ts";

const list = (set: Parameters<typeof candidates>[0], last?: string): string[] =>
  [...candidates(set, last === undefined ? undefined : parseIp(last))].map(({ ip }) => formatIp(ip));

test("network, broadcast and gateway address are never given out", () => {
  const range = parseRange({ subnet: "10.1.0.0/29" });
  assert.deepEqual(list([range]), ["10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.5", "10.1.0.6"]);
  assert.equal(sizeOf(range), 5n);
  assert.deepEqual(list([parseRange({ subnet: "10.1.0.0/29", gateway: "10.1.0.4" })]), [
    "10.1.0.1",
    "10.1.0.2",
    "10.1.0.3",
    "10.1.0.5",
    "10.1.0.6",
  ]);
});

test("after the last address comes the next, over all ranges of the set, round to itself", () => {
  const set = parseRangeSet([
    { subnet: "10.1.0.0/24", rangeStart: "10.1.0.10", rangeEnd: "10.1.0.12" },
    { subnet: "10.2.0.0/24", rangeStart: "10.2.0.10", rangeEnd: "10.2.0.11" },
  ]);
  assert.deepEqual(list(set, "10.1.0.11"), ["10.1.0.12", "10.2.0.10", "10.2.0.11", "10.1.0.10", "10.1.0.11"]);
  assert.deepEqual(list(set, "10.2.0.11"), ["10.1.0.10", "10.1.0.11", "10.1.0.12", "10.2.0.10", "10.2.0.11"]);
  assert.deepEqual(list(set, "10.9.9.9"), ["10.1.0.10", "10.1.0.11", "10.1.0.12", "10.2.0.10", "10.2.0.11"]);
});

test("an IPv6 range has its last address too", () => {
  assert.deepEqual(list([parseRange({ subnet: "fd00::/126" })]), ["fd00::2", "fd00::3"]);
  assert.equal(describeRange(parseRange({ subnet: "fd00::/64" })), "fd00::1-fd00::ffff:ffff:ffff:ffff of fd00::/64");
});

test("a wrong range is refused with its reason", () => {
  const rows = [
    [{ subnet: "10.1.0.5/24" }, /host bits set; write 10\.1\.0\.0\/24/],
    [{ subnet: "10.1.0.0/31" }, /no room/],
    [{ subnet: "10.1.0.0" }, /not an address with a prefix/],
    [{}, /not an address with a prefix/],
    [{ subnet: "10.1.0.0/24", rangeStart: "10.2.0.1" }, /rangeStart 10\.2\.0\.1 is not in/],
    [{ subnet: "10.1.0.0/24", rangeStart: "10.1.0.9", rangeEnd: "10.1.0.8" }, /comes before/],
    [{ subnet: "10.1.0.0/24", gateway: "fd00::1" }, /gateway fd00::1 is not in/],
  ] as const;
  for (const [range, why] of rows) assert.throws(() => parseRange(range), { code: "invalid", message: why });
  assert.throws(() => parseRangeSet([{ subnet: "10.1.0.0/24" }, { subnet: "fd00::/64" }]), { message: /two families/ });
  assert.throws(() => parseRangeSet([{ subnet: "10.1.0.0/16" }, { subnet: "10.1.5.0/24" }]), { message: /overlap/ });
});
