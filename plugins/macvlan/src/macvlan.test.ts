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
import { macvlan } from "./macvlan.ts";
import { parseMacvlanConfig } from "./macvlan-config.ts";

test("macvlan configuration: wrong values are refused by name", () => {
  const parse = (config: JsonObject) => parseMacvlanConfig({ config, args: new Map() });
  assert.throws(() => parse({ mode: "l2" }), { code: "invalid", message: /mode "l2" is none of private, vepa/ });
  assert.throws(() => parse({ mac: "nonsense" }), { code: "invalid" });
  assert.throws(() => parse({ mtu: -1 }), { code: "invalid", message: /"mtu"/ });
  assert.throws(() => parse({ master: "a/b" }), { code: "invalid" });
  assert.throws(() => parse({ bcqueuelen: "many" }), { code: "invalid", message: /"bcqueuelen"/ });
  assert.equal(parse({ mtu: 0 }).mtu, undefined);
  const both = { mac: "02:00:00:00:00:01", runtimeConfig: { mac: "02:00:00:00:00:03" } };
  const args = new Map([["MAC", "02:00:00:00:00:02"]]);
  assert.equal(parseMacvlanConfig({ config: both, args }).mac, "02:00:00:00:00:03");
  assert.equal(parseMacvlanConfig({ config: { mac: both.mac }, args }).mac, "02:00:00:00:00:02");
});

const missing = lacksLinkKind("macvlan");
if (missing !== false) test("macvlan on the kernel", { skip: missing }, () => {});
else if (onFreshHost(import.meta.url)) {
  const pool = new AddressPool();
  const uplink = new Uplink();
  test.after(() => {
    uplink[Symbol.dispose]();
    pool[Symbol.dispose]();
  });
  const config = { master: "uplink", ipam: pool.ipam() };
  const call = callerOf({ plugin: macvlan, delegates: [hostLocal], network: "lan", config });

  testPluginContract({ plugin: macvlan, delegates: [hostLocal], config });
  testAttachments({ plugin: macvlan, delegates: [hostLocal], config, reserved: () => pool.reserved("suite") });

  test("containers reach one another and what is beyond the uplink, in both families", async () => {
    using a = new FreshNetns();
    using b = new FreshNetns();
    await call("ADD", a.path, { containerId: "a" });
    const { ips } = parseResult(await call("ADD", b.path, { containerId: "b" }), "1.1.0");
    const addresses = ips.map(({ address }) => address.split("/")[0] ?? "");
    assert.equal(addresses.length, 2);
    await exchange({ from: a.path, to: b.path, addresses });
    await exchange({ from: uplink.outside, to: b.path, addresses });
    await exchange({ from: b.path, to: uplink.outside, addresses: outsideAddresses });
    await call("DEL", a.path, { containerId: "a" });
    await call("DEL", b.path, { containerId: "b" });
  });

  test("an interface may have the name that its master has on the host, and sit on one of the container's own", async () => {
    using netns = new FreshNetns();
    await call("ADD", netns.path, { ifname: "uplink", more: { mode: "private", bcqueuelen: 2000, mtu: 1400 } });
    {
      using there = openRtnetlink({ netns: netns.path });
      const { kind, mode, mtu, broadcastQueueLength } = there.linkByName("uplink");
      assert.deepEqual([kind, mode, mtu, broadcastQueueLength], ["macvlan", 1, 1400, 2000]);
      there.linkAdd({ kind: "veth", name: "inner", up: true, peer: { name: "other", up: true } });
      const result = await call("ADD", netns.path, { more: { master: "inner", linkInContainer: true } });
      assert.equal(parseResult(result, "1.1.0").interfaces[0]?.mac, there.linkByName("eth0").mac);
      assert.equal(there.linkByName("eth0").parent, there.linkByName("inner").index);
    }
    await call("DEL", netns.path, { more: { master: "inner", linkInContainer: true } });
    await call("DEL", netns.path, { ifname: "uplink" });
  });

  test("without a master it takes the interface of the default route, and says so when there is none", async () => {
    using netns = new FreshNetns();
    await assert.rejects(call("ADD", netns.path, { more: { master: "" } }), { message: /no default route/ });
    await assert.rejects(call("STATUS", "", { more: { master: "none0" } }), {
      cniCode: 50,
      message: /no interface none0/,
    });
    using host = openRtnetlink();
    host.routeAdd({ dst: "default", index: host.linkByName("uplink").index });
    await call("ADD", netns.path, { more: { master: "" } });
    await call("DEL", netns.path, { more: { master: "" } });
    host.routeDelete({ dst: "default" });
    await assert.rejects(call("ADD", netns.path, { more: { mtu: 9000 } }), {
      message: /more than that of uplink, 1500/,
    });
    assert.deepEqual(pool.reserved("lan"), []);
  });

  test("enabledad: an IPv6 address that another on the network has fails ADD, and is given back", async () => {
    using netns = new FreshNetns();
    const ipam = {
      ...pool.ipam(),
      ranges: [[{ subnet: "fd88::/64", gateway: "fd88::fe", rangeStart: "fd88::1", rangeEnd: "fd88::1" }]],
    };
    await assert.rejects(call("ADD", netns.path, { more: { enabledad: true, ipam } }), {
      cniCode: 11,
      message: /another host of eth0's network has fd88::1\/64/,
    });
    assert.deepEqual(pool.reserved("lan"), []);
    await call("ADD", netns.path, { more: { enabledad: true } });
    await call("DEL", netns.path);
  });

  const cell = interop({
    interface: "CNI",
    caller: "Tripod's comparison",
    callee: peer("upstream's main plugins", "containernetworking-plugins"),
  });
  test(`${cell} | macvlan: the same namespaces and result`, { skip: noUpstream("macvlan") }, async () => {
    const layer2 = { ipam: {} };
    const rows: readonly JsonObject[] = [
      { dns: { nameservers: ["10.88.0.1"] } },
      { mode: "vepa", mtu: 1400, mac: "02:11:22:33:44:55", ...layer2 },
      { mode: "passthru", ...layer2 },
      { mode: "private", ...layer2 },
    ];
    for (const row of rows) {
      const differences = await compareWithUpstream({
        plugin: macvlan,
        delegates: [hostLocal],
        config: (side) => ({ master: "uplink", ipam: pool.ipam(side), ...row }),
        macs: ["02:11:22:33:44:55"],
      });
      assert.deepEqual(differences, [], JSON.stringify(row));
    }
  });
}
