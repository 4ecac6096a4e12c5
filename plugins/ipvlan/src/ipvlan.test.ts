import assert from "node:assert/strict";
import { test } from "node:test";
import { type JsonObject, parseResult } from "@tripod/cni";
import {
  AddressPool,
  callerOf,
  compareWithUpstream,
  exchange,
  lacksLinkKind,
  noUpstream,
  onFreshHost,
  outsideAddresses,
  testAttachments,
  testPluginContract,
  Uplink,
} from "@tripod/cni/testing";
import { openRtnetlink } from "@tripod/linux";
import { FreshNetns } from "@tripod/linux/testing";
import { hostLocal } from "@tripod/plugin-host-local";
import { interop, peer } from "@tripod/testing";
import { ipvlan } from "./ipvlan.ts";
import { parseIpvlanConfig } from "./ipvlan-config.ts";

test("ipvlan configuration: wrong values are refused by name; in a chain the master is the interface before", () => {
  const result = (...names: string[]) => ({
    cniVersion: "1.0.0",
    interfaces: names.map((name) => ({ name })),
    ips: [],
    routes: [],
    dns: {},
  });
  const parse = (config: JsonObject, prevResult = result("bond0")) =>
    parseIpvlanConfig({
      command: "ADD",
      containerId: "a",
      netns: "/n",
      ifname: "eth0",
      args: new Map(),
      network: "net",
      cniVersion: "1.0.0",
      config,
      prevResult,
      validAttachments: [],
      signal: new AbortController().signal,
      delegate: () => assert.fail("nothing is asked"),
    });
  assert.throws(() => parse({ mode: "bridge" }), { code: "invalid", message: /mode "bridge" is none of l2, l3, l3s/ });
  assert.throws(() => parse({ mtu: "1400" }), { code: "invalid", message: /"mtu"/ });
  assert.throws(() => parse({ linkInContainer: 1 }), { code: "invalid", message: /"linkInContainer"/ });
  assert.equal(parse({}).master, "bond0");
  assert.equal(parse({ master: "eth1" }).master, "eth1");
  assert.throws(() => parse({}, result("a", "b")), { code: "invalid", message: /has 2 interfaces/ });
});

const missing = lacksLinkKind("ipvlan");
if (missing !== false) test("ipvlan on the kernel", { skip: missing }, () => {});
else if (onFreshHost(import.meta.url)) {
  const pool = new AddressPool();
  const uplink = new Uplink();
  test.after(() => {
    uplink[Symbol.dispose]();
    pool[Symbol.dispose]();
  });
  const config = { master: "uplink", ipam: pool.ipam() };
  const call = callerOf({ plugin: ipvlan, delegates: [hostLocal], network: "shared", config });

  testPluginContract({ plugin: ipvlan, delegates: [hostLocal], config });
  testAttachments({ plugin: ipvlan, delegates: [hostLocal], config, reserved: () => pool.reserved("suite") });

  test("containers reach one another and what is beyond the uplink, in both families", async () => {
    using a = new FreshNetns();
    using b = new FreshNetns();
    await call("ADD", a.path, { containerId: "a" });
    const result = parseResult(await call("ADD", b.path, { containerId: "b" }), "1.1.0");
    const addresses = result.ips.map(({ address }) => address.split("/")[0] ?? "");
    await exchange({ from: a.path, to: b.path, addresses });
    await exchange({ from: uplink.outside, to: b.path, addresses });
    await exchange({ from: b.path, to: uplink.outside, addresses: outsideAddresses });
    await call("DEL", a.path, { containerId: "a" });
    await call("DEL", b.path, { containerId: "b" });
  });

  test("modes and MTU are as the configuration says, and the name may be the master's", async () => {
    for (const [mode, number] of [
      ["l3", 1],
      ["l3s", 2],
    ] as const) {
      using netns = new FreshNetns();
      // One master has one mode at a time, which a new interface changes for all.
      await call("ADD", netns.path, { ifname: "uplink", more: { mode, mtu: 1400 } });
      using there = openRtnetlink({ netns: netns.path });
      const link = there.linkByName("uplink");
      assert.deepEqual([link.kind, link.mode, link.mtu], ["ipvlan", number, 1400]);
      await call("DEL", netns.path, { ifname: "uplink", more: { mode } });
    }
    await assert.rejects(call("STATUS", "", { more: { master: "none0" } }), { cniCode: 50 });
  });

  const cell = interop({
    interface: "CNI",
    caller: "Tripod's comparison",
    callee: peer("upstream's main plugins", "containernetworking-plugins"),
  });
  test(`${cell} | ipvlan: the same namespaces and result`, { skip: noUpstream("ipvlan") }, async () => {
    const rows: readonly JsonObject[] = [{}, { mode: "l3", mtu: 1400 }];
    for (const row of rows) {
      const differences = await compareWithUpstream({
        plugin: ipvlan,
        delegates: [hostLocal],
        config: (side) => ({ master: "uplink", ipam: pool.ipam(side), ...row }),
      });
      assert.deepEqual(differences, [], JSON.stringify(row));
    }
  });
}
