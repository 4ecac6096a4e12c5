import assert from "node:assert/strict";
import { test } from "node:test";
import type { JsonObject } from "@tripod/cni";
import { parseDaemonOptions } from "./daemon-options.ts";
import { parseDhcpConfig } from "./dhcp-config.ts";

const parse = (ipam: JsonObject, args: readonly (readonly [string, string])[] = []) =>
  parseDhcpConfig({ config: { ipam }, args: new Map(args) });

test("dhcp: options are named by number or by the names of dhcp-options(5)", () => {
  const provide = [
    { option: "host-name", fromArg: "K8S_POD_NAME" },
    { option: "60", value: "tripod" },
    { option: "user-class", fromArg: "absent" },
    { option: "12", value: "by default", fromArg: "absent" },
  ];
  const read = parse({ provide, request: [{ option: "42" }, { option: "routers" }], priority: 7 }, [
    ["K8S_POD_NAME", "web-1"],
  ]);
  assert.deepEqual(read, {
    socketPath: "/run/cni/dhcp.sock",
    provide: [
      [12, "web-1"],
      [60, "tripod"],
      [12, "by default"],
    ],
    request: [1, 121, 3, 6, 15, 42],
    priority: 7,
  });
  assert.deepEqual(parse({ request: [{ skipDefault: true }, { option: "subnet-mask" }] }).request, [1]);
});

test("dhcp: wrong values are refused by name", () => {
  const rows: readonly (readonly [JsonObject, RegExp])[] = [
    [{ provide: [{ option: "colour", value: "red" }] }, /option "colour" is neither/],
    [{ request: [{ option: "255" }] }, /option "255"/],
    [{ request: [{ option: "-1" }] }, /option "-1"/],
    [{ provide: [{ option: "53", value: "1" }] }, /option 53 is the protocol's own/],
    [{ provide: [{ option: "12", value: "x".repeat(256) }] }, /option 12 is longer/],
    [{ daemonSocketPath: "dhcp.sock" }, /"daemonSocketPath".*absolute/],
    [{ priority: "high" }, /"priority"/],
  ];
  for (const [ipam, why] of rows) assert.throws(() => parse(ipam), { code: "invalid", message: why });
});

test("dhcp daemon: upstream's flags, with one hyphen or two", () => {
  const options = parseDaemonOptions([
    "-socketpath",
    "/run/a.sock",
    "--hostprefix=/host/",
    "-broadcast",
    "-timeout",
    "1m1.5s",
  ]);
  assert.deepEqual(options, {
    socketPath: "/host/run/a.sock",
    hostPrefix: "/host",
    pidFile: undefined,
    broadcast: true,
    patience: { totalMs: 50_000, answerMs: 61_500, resendMs: 16_000 },
  });
  assert.equal(parseDaemonOptions(["-help"]), "help");
  for (const words of [["-timeout", "soon"], ["-timeout", "5"], ["-pidfile", "pid"], ["-colour"], ["word"]])
    assert.throws(() => parseDaemonOptions(words), { code: "invalid" });
});
