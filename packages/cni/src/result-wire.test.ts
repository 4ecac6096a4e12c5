import assert from "node:assert/strict";
import { test } from "node:test";
import type { CniResult } from "./result.ts";
import { parseResult, resultToJson } from "./result-wire.ts";
import { supportedVersions } from "./version.ts";

const full: CniResult = {
  cniVersion: "1.1.0",
  interfaces: [
    { name: "eth0", mac: "02:00:00:00:00:01", mtu: 1400, sandbox: "/run/netns/a", socketPath: "/s", pciID: "0000:00" },
  ],
  ips: [
    { interface: 0, address: "10.1.0.5/24", gateway: "10.1.0.1" },
    { interface: 0, address: "fd00::5/64" },
  ],
  routes: [{ dst: "0.0.0.0/0", gw: "10.1.0.1", mtu: 1300, priority: 0, table: 0, scope: 0 }, { dst: "::/0" }],
  dns: { nameservers: ["10.1.0.1"], search: ["cluster.local"] },
};

test("a result survives the way out and back in version 1.1.0, index 0 and table 0 included", () => {
  assert.deepEqual(parseResult(resultToJson(full, "1.1.0"), "1.1.0"), full);
});

test("versions before 1.0.0 say the address's family, and nothing that they have no word for", () => {
  assert.deepEqual(resultToJson(full, "0.4.0"), {
    cniVersion: "0.4.0",
    interfaces: [{ name: "eth0", mac: "02:00:00:00:00:01", sandbox: "/run/netns/a" }],
    ips: [
      { version: "4", interface: 0, address: "10.1.0.5/24", gateway: "10.1.0.1" },
      { version: "6", interface: 0, address: "fd00::5/64" },
    ],
    routes: full.routes,
    dns: full.dns,
  });
});

test("version 0.2.0 has one address a family, with its routes", () => {
  const legacy = resultToJson(full, "0.2.0");
  assert.deepEqual(legacy, {
    cniVersion: "0.2.0",
    ip4: { ip: "10.1.0.5/24", gateway: "10.1.0.1", routes: [{ dst: "0.0.0.0/0", gw: "10.1.0.1" }] },
    ip6: { ip: "fd00::5/64", routes: [{ dst: "::/0" }] },
    dns: full.dns,
  });
  const back = parseResult(legacy, "0.2.0");
  assert.deepEqual(back.ips, [{ address: "10.1.0.5/24", gateway: "10.1.0.1" }, { address: "fd00::5/64" }]);
  assert.deepEqual(back.routes, [{ dst: "0.0.0.0/0", gw: "10.1.0.1" }, { dst: "::/0" }]);
});

test("addresses and routes survive every version", () => {
  for (const version of supportedVersions) {
    const back = parseResult(resultToJson(full, version), version);
    assert.deepEqual(
      back.ips.map(({ address }) => address),
      ["10.1.0.5/24", "fd00::5/64"],
      version,
    );
    assert.equal(back.cniVersion, version);
  }
});

test("null and a result without a version are taken as libcni takes them", () => {
  assert.deepEqual(parseResult(null, "0.4.0"), { cniVersion: "0.4.0", interfaces: [], ips: [], routes: [], dns: {} });
  assert.equal(parseResult({ ips: [{ address: "10.0.0.1/8" }] }, "1.0.0").cniVersion, "1.0.0");
  assert.equal(parseResult({ ips: [] }, "0.3.1").cniVersion, "0.3.1");
});

test("a bad result is refused with its reason", () => {
  const rows = [
    [{ cniVersion: "9.0.0" }, /9\.0\.0/],
    [{ ips: [{ address: "10.0.0.1" }] }, /10\.0\.0\.1/],
    [{ ips: [{ address: 5 }] }, /"address" is 5/],
    [{ ips: {} }, /"ips" is/],
    [{ ips: [null] }, /list of objects/],
    [{ routes: [{ dst: "0.0.0.0/0", gw: "x" }] }, /"x" is not an IP/],
    [{ ips: [{ address: "10.0.0.1/8", interface: -1 }] }, /"interface" is -1/],
    [[], /not a JSON object/],
    ["text", /not a JSON object/],
  ] as const;
  for (const [value, why] of rows) assert.throws(() => parseResult(value, "1.0.0"), { message: why });
});
