import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createServer, type Server } from "node:net";
import { test } from "node:test";
import type { JsonObject } from "@tripod/cni/sdk";
import {
  type Callee,
  noUpstream,
  onFreshHost,
  ownCallee,
  testPluginContract,
  upstreamCallee,
} from "@tripod/cni/testing";
import { connectInNetns, inNetns, nft, openRtnetlink, writeSysctl } from "@tripod/linux";
import { FreshNetns } from "@tripod/linux/testing";
import { interop, peer } from "@tripod/testing";
import { firewall } from "./firewall.ts";

/** What a bridge plugin has made of a container. */
interface Pod extends Disposable {
  readonly id: string;
  readonly path: string;
  readonly address: string;
  readonly prevResult: JsonObject;
}

/** A container on a bridge of the host, which is made with the first. 10.N.0.M/24 and fdN::M/64. */
function pod(bridge: string, network: number, host: number): Pod {
  const netns = new FreshNetns();
  using outer = openRtnetlink();
  using inner = openRtnetlink({ netns: netns.path });
  const id = `${bridge}-${host}`;
  if (outer.findLink(bridge) === undefined) {
    outer.linkAdd({ kind: "bridge", name: bridge, up: true });
    const { index } = outer.linkByName(bridge);
    outer.addressAdd({ index, address: `10.${network}.0.1/24` });
  }
  const master = outer.linkByName(bridge).index;
  outer.linkAdd({ kind: "veth", name: id, up: true, master, peer: { name: "eth0", netns: netns.path, up: true } });
  const { index } = inner.linkByName("eth0");
  const address = `10.${network}.0.${host}`;
  inner.addressAdd({ index, address: `${address}/24` });
  inner.routeAdd({ dst: "default", gateway: `10.${network}.0.1`, index });
  return {
    id,
    path: netns.path,
    address,
    prevResult: {
      cniVersion: "1.0.0",
      interfaces: [{ name: bridge }, { name: id }, { name: "eth0", sandbox: netns.path }],
      ips: [
        { interface: 2, address: `${address}/24` },
        { interface: 2, address: `fd0${network}::${host}/64` },
      ],
    },
    [Symbol.dispose]() {
      using end = openRtnetlink();
      end.linkDelete(id);
      netns[Symbol.dispose]();
    },
  };
}

const configuration = (prevResult: JsonObject | null, more: JsonObject = {}): JsonObject => ({
  cniVersion: "1.0.0",
  name: "net",
  type: "firewall",
  ...(prevResult === null ? {} : { prevResult }),
  ...more,
});

/** Whether a connection from one container reaches another. A refusal waits as long as a packet could possibly need; an answer, much longer. */
async function reaches(from: Pod, to: Pod, expected: boolean): Promise<boolean> {
  const server: Server = createServer((socket) => socket.end());
  inNetns(to.path, () => server.listen(7200));
  if (!server.listening) await new Promise((resolve) => server.once("listening", resolve));
  try {
    const signal = AbortSignal.timeout(expected ? 30_000 : 300);
    const socket = await connectInNetns(from.path, { host: to.address, port: 7200, signal });
    socket.destroy();
    return true;
  } catch {
    return false;
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

const own = ownCallee(firewall);
const add = (callee: Callee, { id, path, prevResult }: Pod, more: JsonObject = {}): Promise<JsonObject> =>
  callee.call("ADD", configuration(prevResult, more), { containerId: id, netns: path });
const del = (callee: Callee, { id, path }: Pod, more: JsonObject = {}): Promise<JsonObject> =>
  callee.call("DEL", configuration(null, more), { containerId: id, netns: path });

if (onFreshHost(import.meta.url)) {
  writeSysctl("net/ipv4/ip_forward", { value: "1" });

  testPluginContract({
    plugin: firewall,
    config: {
      prevResult: {
        cniVersion: "1.0.0",
        interfaces: [{ name: "eth0", sandbox: "/run/netns/a" }],
        ips: [{ address: "10.9.0.2/24" }],
      },
    },
  });

  test.afterEach(() => {
    nft("flush ruleset");
    using host = openRtnetlink();
    for (const { name, loopback } of host.links()) if (!loopback) host.linkDelete(name);
  });

  test("firewall: what forward chains would drop by policy is let through for containers, and for nobody else", async () => {
    using a = pod("br-a", 1, 2);
    using b = pod("br-b", 2, 2);
    nft("add table ip filter\nadd chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }");
    nft("add table inet mine\nadd chain inet mine passing { type filter hook forward priority 10; policy drop; }");
    const before = nft("list ruleset");
    assert.equal(await reaches(a, b, false), false);
    await add(own, a);
    await own.call("CHECK", configuration(a.prevResult), { containerId: a.id, netns: a.path });
    // a may open connections and gets the answers; b, of which the firewall was told nothing, may open none.
    assert.equal(await reaches(a, b, true), true);
    assert.equal(await reaches(b, a, false), false);
    // What was let through can also be printed by iptables, which refuses what it could not have made.
    const iptables = spawnSync("iptables", ["-S", "FORWARD"], { encoding: "utf8" });
    if (iptables.error === undefined) assert.match(iptables.stdout, /-m mark --mark 0x1000\/0x1000/);
    nft("flush chain ip filter FORWARD");
    await assert.rejects(own.call("CHECK", configuration(a.prevResult), { containerId: a.id, netns: a.path }), {
      cniCode: 3,
      message: /chain FORWARD of table ip filter drops/,
    });
    for (let time = 0; time < 2; time += 1) await del(own, a);
    assert.equal(nft("list ruleset"), before);
    assert.equal(await reaches(a, b, false), false);
  });

  test("firewall: same-bridge keeps other such bridges out, isolated also the neighbours", async () => {
    using a = pod("br-a", 1, 2);
    using a2 = pod("br-a", 1, 3);
    using b = pod("br-b", 2, 2);
    using c = pod("br-c", 3, 2);
    assert.equal(await reaches(a, b, true), true);
    const isolated = { ingressPolicy: "isolated" };
    for (const each of [a, a2]) await add(own, each, { ingressPolicy: "same-bridge" });
    await add(own, b, { ingressPolicy: "same-bridge" });
    await add(own, c);
    assert.equal(await reaches(a, a2, true), true);
    assert.equal(await reaches(a, b, false), false);
    assert.equal(await reaches(b, a, false), false);
    assert.equal(await reaches(c, a, true), true);
    for (const each of [a, a2]) {
      await add(own, each, isolated);
      await own.call("CHECK", configuration(each.prevResult, isolated), { containerId: each.id, netns: each.path });
    }
    assert.equal(await reaches(a, a2, false), false);
    assert.equal(await reaches(a, c, true), true);
    // A bridge's rules go with its last container.
    for (const each of [a, a2]) await del(own, each, isolated);
    assert.equal(await reaches(a, a2, true), true);
    assert.equal(await reaches(b, a, true), true);
    for (const each of [b, c]) await del(own, each);
    assert.equal(nft("list ruleset"), "");
  });

  test("firewall: the administrator's chain is asked first and outlives the last container", async () => {
    using a = pod("br-a", 1, 2);
    using b = pod("br-b", 2, 2);
    const named = { iptablesAdminChainName: "MY-ADMIN" };
    await add(own, a, named);
    nft("add rule inet cni_firewall MY-ADMIN tcp dport 7200 drop");
    assert.equal(await reaches(a, b, false), false);
    await del(own, a, named);
    assert.match(nft("list ruleset"), /chain MY-ADMIN \{\s+tcp dport 7200 drop/);
    nft("flush chain inet cni_firewall MY-ADMIN");
    await add(own, a, named);
    await del(own, a);
    assert.equal(nft("list ruleset"), "");
  });

  test("firewall: GC takes what no valid attachment of the network has", async () => {
    using a = pod("br-a", 1, 2);
    using a2 = pod("br-a", 1, 3);
    using b = pod("br-b", 2, 2);
    for (const each of [a, a2]) await add(own, each, { ingressPolicy: "isolated" });
    await add(own, b, { name: "other" });
    const valid = { "cni.dev/valid-attachments": [{ containerID: a2.id, ifname: "eth0" }] };
    await own.call("GC", { ...configuration(null), cniVersion: "1.1.0", ...valid });
    const rules = nft("list ruleset");
    assert.doesNotMatch(rules, /10\.1\.0\.2\b/);
    assert.match(rules, /10\.1\.0\.3\b/);
    assert.match(rules, /10\.2\.0\.2\b/);
    assert.match(rules, /fd02::2\b/);
    // An address that a crash has left with another is its new owner's too, and stays with it.
    await add(own, { ...b, prevResult: a2.prevResult });
    await del(own, a2);
    assert.match(nft("list ruleset"), /10\.1\.0\.3\b/);
    await del(own, b);
    await del(own, b, { name: "other" });
    assert.equal(nft("list ruleset"), "");
  });

  test("firewall: what is wrong is refused before anything is changed", async () => {
    using a = pod("br-a", 1, 2);
    const rows: [JsonObject, RegExp][] = [
      [{ ingressPolicy: "closed" }, /"closed" is none of open, same-bridge, isolated/],
      [{ backend: "firewalld" }, /backend "firewalld" is not nftables/],
      [{ iptablesAdminChainName: "a; flush ruleset" }, /a chain's name/],
      [{ prevResult: null }, /prevResult is missing/],
      [
        { ingressPolicy: "isolated", prevResult: { cniVersion: "1.0.0", interfaces: [{ name: "lo" }] } },
        /needs a bridge/,
      ],
    ];
    for (const [more, why] of rows) await assert.rejects(add(own, a, more), { message: why });
    assert.equal(nft("list ruleset"), "");
  });

  const iptables = spawnSync("iptables", ["--version"]).error === undefined ? false : "iptables is not installed";
  const cell = interop({
    interface: "CNI",
    caller: peer("upstream's firewall", "containernetworking-plugins"),
    callee: "Tripod's firewall",
  });
  test(`${cell} | the same inputs let the same connections through`, {
    skip: noUpstream("firewall") === false ? iptables : noUpstream("firewall"),
  }, async () => {
    const outcomes: boolean[][] = [];
    for (const callee of [own, upstreamCallee("firewall")]) {
      using a = pod("br-a", 1, 2);
      using a2 = pod("br-a", 1, 3);
      using b = pod("br-b", 2, 2);
      using c = pod("br-c", 3, 2);
      spawnSync("iptables", ["-P", "FORWARD", "DROP"]);
      const policy = { ingressPolicy: "same-bridge" };
      for (const each of [a, a2, b]) await add(callee, each, policy);
      for (const each of [a, a2, b])
        await callee.call("CHECK", configuration(each.prevResult, policy), { containerId: each.id, netns: each.path });
      const pairs: [Pod, Pod, boolean][] = [
        [a, a2, true],
        [a, b, false],
        [b, a, false],
        [a, c, true],
        [c, a, false],
      ];
      const found: boolean[] = [];
      for (const [from, to, expected] of pairs) found.push(await reaches(from, to, expected));
      outcomes.push(found);
      assert.deepEqual(
        found,
        pairs.map(([, , expected]) => expected),
        callee.whose,
      );
      for (const each of [a, a2, b])
        await callee.call("DEL", configuration(each.prevResult, policy), { containerId: each.id, netns: each.path });
      nft("flush ruleset");
      using host = openRtnetlink();
      for (const { name, loopback } of host.links()) if (!loopback) host.linkDelete(name);
    }
    assert.deepEqual(outcomes[0], outcomes[1]);
  });
}
