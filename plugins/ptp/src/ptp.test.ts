import assert from "node:assert/strict";
import { test } from "node:test";
import { type JsonObject, parseResult, PluginInvoker } from "@tripod/cni";
import {
  AddressPool,
  upstreamCallee,
  compareWithUpstream,
  exchange,
  noUpstream,
  onFreshHost,
  testAttachments,
  testPluginContract,
  Uplink,
} from "@tripod/cni/testing";
import { nft, openRtnetlink } from "@tripod/linux";
import { FreshNetns } from "@tripod/linux/testing";
import { hostLocal } from "@tripod/plugin-host-local";
import { interop, peer } from "@tripod/testing";
import { ptp } from "./ptp.ts";
import { parsePtpConfig } from "./ptp-config.ts";
import { completeResult, planContainer } from "./ptp-plan.ts";

const parse = (more: JsonObject = {}) =>
  parsePtpConfig({ config: { ipam: { type: "host-local" }, ...more }, args: new Map() });

test("ptp configuration: wrong values are refused by name", () => {
  assert.throws(() => parse({ ipam: {} }), { code: "invalid", message: /"ipam" is missing/ });
  assert.throws(() => parse({ ipMasq: "perhaps" }), { code: "invalid", message: /"ipMasq"/ });
  assert.throws(() => parse({ ipMasqBackend: "iptables" }), { code: "invalid", message: /nftables alone/ });
  assert.equal(parse({ ipMasq: "true", ipMasqBackend: "nftables" }).ipMasq, true);
});

test("ptp: an address without a gateway is refused, and one without a subnet has no route to it", () => {
  const ipam = { cniVersion: "1.0.0", interfaces: [], ips: [{ address: "10.1.0.5/32" }], routes: [], dns: {} };
  assert.throws(() => completeResult(parse(), ipam), { code: "invalid", message: /10\.1\.0\.5\/32 without a gateway/ });
  const result = completeResult(parse(), { ...ipam, ips: [{ address: "10.1.0.5/32", gateway: "10.1.0.1" }] });
  const routes = planContainer(parse(), "eth0", result).filter(({ kind }) => kind === "add-route");
  assert.deepEqual(routes, [
    { kind: "add-route", name: "eth0", route: { dst: "10.1.0.1/32", src: "10.1.0.5", scope: "link" } },
  ]);
});

if (onFreshHost(import.meta.url)) {
  const pool = new AddressPool();
  test.after(() => pool[Symbol.dispose]());
  const defaults = [{ dst: "0.0.0.0/0" }, { dst: "::/0" }];
  const config = { ipMasq: true, ipam: { ...pool.ipam(), routes: defaults } };
  const invoker = new PluginInvoker({
    binDirs: [],
    plugins: new Map([ptp, hostLocal].map((plugin) => [plugin.name, plugin])),
  });
  const call = (
    command: "ADD" | "DEL" | "CHECK" | "GC",
    netns: string,
    { id = "a", more = {} }: { id?: string; more?: JsonObject } = {},
  ): Promise<JsonObject | undefined> =>
    invoker.invoke("ptp", {
      command,
      containerId: id,
      netns,
      ifname: "eth0",
      args: "",
      path: [],
      stdin: { cniVersion: "1.1.0", name: "lines", type: "ptp", ...config, ...more },
      signal: new AbortController().signal,
    });
  const addressesOf = (result: JsonObject | undefined): readonly string[] =>
    parseResult(result, "1.1.0").ips.map(({ address }) => address.split("/")[0] ?? "");

  testPluginContract({ plugin: ptp, delegates: [hostLocal], config });
  testAttachments({ plugin: ptp, delegates: [hostLocal], config, reserved: () => pool.reserved("suite") });

  test("containers reach one another by way of the host, the host, and by masquerade what is beyond", async () => {
    using uplink = new Uplink({ addresses: ["192.168.60.2/24", "fd60::2/64"] });
    {
      using host = openRtnetlink();
      const { index } = host.linkByName("uplink");
      host.addressAdd({ index, address: "192.168.60.1/24" });
      host.addressAdd({ index, address: "fd60::1/64", noDad: true });
    }
    using a = new FreshNetns();
    using b = new FreshNetns();
    const first = addressesOf(await call("ADD", a.path, { id: "a" }));
    const second = addressesOf(await call("ADD", b.path, { id: "b" }));
    await exchange({ from: a.path, to: b.path, addresses: second });
    await exchange({ from: undefined, to: a.path, addresses: first });
    // The other end has no route to the containers: it answers to the host's own address.
    await exchange({ from: b.path, to: uplink.outside, addresses: ["192.168.60.2", "fd60::2"] });
    await call("DEL", "", { id: "a" });
    await call("DEL", b.path, { id: "b" });
    assert.equal(nft("list ruleset"), "");
    assert.deepEqual(pool.reserved("lines"), []);
  });

  test("GC takes the links and rules of those that no runtime knows any more", async () => {
    using kept = new FreshNetns();
    using lost = new FreshNetns();
    const prevResult = (await call("ADD", kept.path, { id: "kept" })) ?? {};
    await call("ADD", lost.path, { id: "lost" });
    await call("GC", "", { more: { "cni.dev/valid-attachments": [{ containerID: "kept", ifname: "eth0" }] } });
    await call("CHECK", kept.path, { id: "kept", more: { prevResult } });
    assert.match(nft("list ruleset"), /id: kept/);
    assert.doesNotMatch(nft("list ruleset"), /id: lost/);
    {
      using host = openRtnetlink();
      assert.equal(host.links().filter(({ kind }) => kind === "veth").length, 1);
    }
    nft("flush chain inet cni_plugins_masquerade masq_checks");
    await assert.rejects(call("CHECK", kept.path, { id: "kept", more: { prevResult } }), {
      message: /masquerade rules/,
    });
    await call("DEL", kept.path, { id: "kept" });
  });

  const cell = interop({
    interface: "CNI",
    caller: "Tripod's comparison",
    callee: peer("upstream's main plugins", "containernetworking-plugins"),
  });
  const skip = noUpstream("ptp");
  test(`${cell} | ptp: the same namespaces and result`, { skip }, async () => {
    const differences = await compareWithUpstream({
      plugin: ptp,
      delegates: [hostLocal],
      config: (side) => ({
        mtu: 1400,
        dns: { nameservers: ["10.88.0.1"], search: ["a.example"] },
        ipam: { ...pool.ipam(side), routes: defaults },
      }),
    });
    assert.deepEqual(differences, []);
  });

  test(`${cell} | ptp: ours takes away what upstream's has made`, { skip }, async () => {
    using netns = new FreshNetns();
    const ipam = { ...pool.ipam(), ranges: [[{ subnet: "10.88.0.0/24" }]] };
    const stdin = { cniVersion: "1.0.0", name: "lines", type: "ptp", ipam };
    const result = await upstreamCallee("ptp").call("ADD", stdin, { netns: netns.path });
    await call("CHECK", netns.path, { more: { prevResult: result, ipMasq: false, ipam } });
    await call("DEL", netns.path, { more: { ipMasq: false, ipam } });
    using host = openRtnetlink();
    assert.deepEqual(
      host.links().map(({ name }) => name),
      ["lo"],
    );
    assert.deepEqual(pool.reserved("lines"), []);
  });
}
