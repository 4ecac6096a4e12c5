import assert from "node:assert/strict";
import { test } from "node:test";
import { containsIp, formatCidr, formatIp, lastOf, networkOf, parseCidr, parseIp, tryParseIp } from "./ip.ts";

test("formatIp gives the canonical text of any spelling", () => {
  const rows = [
    ["10.1.2.3", "10.1.2.3"],
    ["0.0.0.0", "0.0.0.0"],
    ["255.255.255.255", "255.255.255.255"],
    ["::", "::"],
    ["::1", "::1"],
    ["FD00:0:0:0:0:0:0:1", "fd00::1"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"],
    ["::ffff:10.1.2.3", "10.1.2.3"],
    ["fe80::", "fe80::"],
  ] as const;
  for (const [text, canonical] of rows) assert.equal(formatIp(parseIp(text)), canonical);
});

test("what is no address is not taken for one", () => {
  const rows = [
    "",
    "10.1.2",
    "10.1.2.256",
    "10.1.02.3",
    "10.1.2.3.4",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "g::",
    ":::",
    "10.1.2.3/24",
    "last_reserved_ip.0",
    "lock",
  ];
  for (const text of rows) assert.equal(tryParseIp(text), undefined, text);
});

test("a prefix is split into its subnet's first and last address", () => {
  const four = parseCidr("10.1.2.3/20");
  assert.equal(formatIp(networkOf(four)), "10.1.0.0");
  assert.equal(formatIp(lastOf(four)), "10.1.15.255");
  const six = parseCidr("fd00::5/120");
  assert.equal(formatCidr({ ip: networkOf(six), prefix: 120 }), "fd00::/120");
  assert.equal(formatIp(lastOf(six)), "fd00::ff");
  assert.ok(containsIp(four, parseIp("10.1.9.9")));
  assert.ok(!containsIp(four, parseIp("fd00::1")));
  for (const bad of ["10.1.2.3", "10.1.2.3/33", "10.1.2.3/", "/8", "fd00::/129", "10.0.0.0/8/8"])
    assert.throws(() => parseCidr(bad), { code: "invalid" }, bad);
});
