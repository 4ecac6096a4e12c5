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
import { parseVlanConfig } from "./vlan-config.ts";
import { vlan } from "./vlan.ts";

test("vlan configuration: wrong values are refused by name", () => {
  const parse = (config: JsonObject) => parseVlanConfig({ config: { master: "eth1", ...config }, args: new Map() });
  assert.throws(() => parse({ master: "" }), { code: "invalid", message: /"master" is missing/ });
  assert.throws(() => parse({ vlanId: 4095 }), { code: "invalid", message: /"vlanId" is 4095/ });
  assert.throws(() => parse({ vlanId: "7" }), { code: "invalid", message: /"vlanId"/ });
  assert.equal(parse({}).vlanId, 0);
});

const missing = lacksLinkKind("vlan");
if (missing !== false) test("vlan on the kernel", { skip: missing }, () => {});
else if (onFreshHost(import.meta.url)) {
  const pool = new AddressPool();
  const uplink = new Uplink({ vlanId: 7 });
  test.after(() => {
    uplink[Symbol.dispose]();
    pool[Symbol.dispose]();
  });
  const config = { master: "uplink", vlanId: 7, ipam: pool.ipam() };
  const call = callerOf({ plugin: vlan, delegates: [hostLocal], network: "tagged", config });

  // A VLAN has one interface on its master: the contract's tests, which want two at a time, get a VLAN each.
  testPluginContract({
    plugin: vlan,
    delegates: [hostLocal],
    config: (containerId) => ({ ...config, vlanId: containerId === "kept" ? 8 : 7 }),
  });
  testAttachments({ plugin: vlan, delegates: [hostLocal], config, reserved: () => pool.reserved("suite"), atOnce: 1 });

  test("a container reaches what is in the VLAN beyond the uplink, in both families", async () => {
    using netns = new FreshNetns();
    const result = parseResult(await call("ADD", netns.path), "1.1.0");
    const addresses = result.ips.map(({ address }) => address.split("/")[0] ?? "");
    await exchange({ from: uplink.outside, to: netns.path, addresses });
    await exchange({ from: netns.path, to: uplink.outside, addresses: outsideAddresses });
    using other = new FreshNetns();
    await assert.rejects(call("ADD", other.path, { containerId: "b" }), {
      code: "already-exists",
      message: /VLAN 7 of uplink is in use/,
    });
    await call("DEL", netns.path);
    assert.deepEqual(pool.reserved("tagged"), []);
  });

  test("the MTU is as the configuration says, and the name may be the master's", async () => {
    using netns = new FreshNetns();
    using there = openRtnetlink({ netns: netns.path });
    await call("ADD", netns.path, { ifname: "uplink", more: { mtu: 1400, vlanId: 9 } });
    const link = there.linkByName("uplink");
    assert.deepEqual([link.kind, link.vlanId, link.mtu], ["vlan", 9, 1400]);
    await call("DEL", netns.path, { ifname: "uplink", more: { vlanId: 9 } });
    await assert.rejects(call("ADD", netns.path, { more: { mtu: 9000 } }), { message: /more than that of uplink/ });
    await assert.rejects(call("STATUS", "", { more: { master: "none0" } }), { cniCode: 50 });
  });

  const cell = interop({
    interface: "CNI",
    caller: "Tripod's comparison",
    callee: peer("upstream's main plugins", "containernetworking-plugins"),
  });
  test(`${cell} | vlan: the same namespaces and result`, { skip: noUpstream("vlan") }, async () => {
    const differences = await compareWithUpstream({
      plugin: vlan,
      delegates: [hostLocal],
      config: (side) => ({ master: "uplink", vlanId: 7, mtu: 1400, ipam: pool.ipam(side) }),
    });
    assert.deepEqual(differences, []);
  });
}
