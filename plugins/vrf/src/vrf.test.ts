import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import type { JsonObject } from "@tripod/cni/sdk";
import {
  type CalleeCall,
  lacksLinkKind,
  noUpstream,
  onFreshHost,
  ownCallee,
  testPluginContract,
  upstreamCallee,
} from "@tripod/cni/testing";
import { openRtnetlink } from "@tripod/linux";
import { FreshNetns } from "@tripod/linux/testing";
import { interop, peer } from "@tripod/testing";
import { vrf } from "./vrf.ts";
import { parseVrfConfig } from "./vrf-config.ts";

const prevResult: JsonObject = {
  cniVersion: "1.0.0",
  interfaces: [{ name: "eth0", sandbox: "/run/netns/a" }],
  ips: [{ interface: 0, address: "10.1.0.2/24", gateway: "10.1.0.1" }],
};
const configuration = (more: JsonObject = {}): JsonObject => ({
  cniVersion: "1.0.0",
  name: "net",
  type: "vrf",
  vrfname: "blue",
  prevResult,
  ...more,
});

/** Two interfaces of one network each, with default routes. */
function makeInterfaces(netns: string): void {
  using there = openRtnetlink({ netns });
  for (const name of ["eth0", "net1"]) {
    there.linkAdd({ kind: "veth", name, up: true, peer: { name: `${name}-peer`, up: true } });
    const { index } = there.linkByName(name);
    there.addressAdd({ index, address: "10.1.0.2/24" });
    there.addressAdd({ index, address: "fd01::2/64", noDad: true });
    for (const gateway of ["10.1.0.1", "fd01::1"])
      there.routeAdd({ dst: "default", gateway, index, metric: name === "eth0" ? 100 : 200 });
  }
}

/** Interfaces and their masters, IPv6 addresses, and the routes that somebody made, by table. */
function state(netns: string): { links: string[]; addresses: string[]; routes: string[] } {
  using there = openRtnetlink({ netns });
  const nameOf = (index?: number): string => (index === undefined ? "" : (there.findLink(index)?.name ?? "gone"));
  return {
    links: there.links().map((link) => `${link.name} ${nameOf(link.master)} ${link.vrfTable ?? ""} ${link.up}`),
    addresses: there
      .addresses({ family: "ipv6" })
      .filter(({ scope }) => scope === "global")
      .map(({ index, address }) => `${nameOf(index)} ${address}`)
      .toSorted(),
    routes: there
      .routes()
      .filter(({ protocol }) => protocol !== 2)
      .map(({ dst, gateway, index, table }) => `${dst} ${gateway ?? ""} ${nameOf(index)} ${table}`)
      .toSorted(),
  };
}

test("vrf configuration: wrong values are refused by name", () => {
  const parse = (config: JsonObject) => parseVrfConfig({ config, args: new Map() });
  assert.throws(() => parse({}), { code: "invalid", message: /"vrfname" is missing/ });
  assert.throws(() => parse({ vrfname: "a/b" }), { code: "invalid" });
  assert.throws(() => parse({ vrfname: "blue", table: -1 }), { code: "invalid", message: /"table"/ });
  assert.throws(() => parse({ vrfname: "blue", table: "main" }), { code: "invalid", message: /"table"/ });
  assert.deepEqual(parse({ vrfname: "blue", table: 0 }), { name: "blue", table: undefined });
});

const own = ownCallee(vrf);
const missing = lacksLinkKind("vrf");
const verb = process.argv[2];
if (verb === "ADD" || verb === "DEL") {
  // The child of the crash test: one call, in the course of which a failpoint ends the process.
  await own.call(verb, configuration(), { netns: process.argv[3] ?? "" });
} else if (missing !== false) test("vrf on the kernel", { skip: missing }, () => {});
else if (onFreshHost(import.meta.url)) {
  testPluginContract({ plugin: vrf, config: { vrfname: "blue", prevResult }, prepare: makeInterfaces });

  test("interfaces share a VRF with its routes and IPv6 addresses; it goes with the last one", async () => {
    using netns = new FreshNetns();
    makeInterfaces(netns.path);
    const before = state(netns.path);
    const first: CalleeCall = { netns: netns.path, ifname: "eth0" };
    const second: CalleeCall = { netns: netns.path, ifname: "net1" };
    assert.deepEqual(await own.call("ADD", configuration(), first), prevResult);
    await own.call("ADD", configuration({ table: 1 }), second);
    await own.call("ADD", configuration({ vrfname: "red" }), { ...first, ifname: "eth0-peer" });
    const after = state(netns.path);
    assert.ok(after.links.includes("blue  1 true") && after.links.includes("red  2 true"), after.links.join("; "));
    assert.deepEqual(after.addresses, before.addresses);
    assert.deepEqual(
      after.routes,
      before.routes.map((route) => route.replace(/254$/, "1")),
    );
    await own.call("CHECK", configuration(), first);
    await assert.rejects(own.call("CHECK", configuration({ vrfname: "red" }), first), { cniCode: 3 });
    await assert.rejects(own.call("ADD", configuration(), first), { message: /is in blue; DEL/ });
    await own.call("DEL", configuration(), first);
    await assert.rejects(own.call("CHECK", configuration(), first), { cniCode: 3 });
    await own.call("CHECK", configuration(), second);
    {
      // With the interface gone first, upstream's fails and leaves the VRF.
      using there = openRtnetlink({ netns: netns.path });
      there.linkDelete("net1");
    }
    for (let time = 0; time < 2; time += 1) await own.call("DEL", configuration(), second);
    assert.ok(!state(netns.path).links.some((link) => link.startsWith("blue")));
  });

  test("what cannot be is refused before anything is changed", async () => {
    using netns = new FreshNetns();
    makeInterfaces(netns.path);
    await own.call("ADD", configuration({ vrfname: "red", table: 7 }), { netns: netns.path, ifname: "net1" });
    const before = state(netns.path);
    const rows: [JsonObject, RegExp][] = [
      [{ vrfname: "eth0-peer" }, /eth0-peer is a veth, no VRF/],
      [{ vrfname: "red", table: 8 }, /red is there with routing table 7 instead of 8/],
      [{ prevResult: null }, /prevResult is missing/],
    ];
    for (const [more, message] of rows)
      await assert.rejects(own.call("ADD", configuration(more), { netns: netns.path }), { message });
    assert.deepEqual(state(netns.path), before);
  });

  test("after a kill in the course of ADD or DEL, DEL takes back what there is", async () => {
    const killedAt = async (point: string): Promise<boolean> => {
      using netns = new FreshNetns();
      makeInterfaces(netns.path);
      const { links } = state(netns.path);
      const killed = point === "vrf.left" ? "DEL" : "ADD";
      if (killed === "DEL") await own.call("ADD", configuration(), { netns: netns.path });
      const child = spawnSync(
        process.execPath,
        [...process.execArgv, fileURLToPath(import.meta.url), killed, netns.path],
        {
          env: { ...process.env, TRIPOD_FAILPOINT: point, NODE_TEST_CONTEXT: undefined },
          encoding: "utf8",
        },
      );
      // In a virtual machine of software V8 ends itself at times by a check of its own, before it comes that far.
      if (child.signal === "SIGTRAP" && child.stderr.includes("Fatal error in , line 0")) return false;
      assert.equal(child.signal, "SIGKILL", `${point}: ${child.stderr}`);
      await own.call("DEL", configuration(), { netns: netns.path });
      assert.deepEqual(state(netns.path).links, links);
      return true;
    };
    for (const point of ["vrf.made", "vrf.joined", "vrf.left"]) {
      let tries = 1;
      while (!(await killedAt(point))) {
        tries += 1;
        assert.ok(tries <= 5, `${point}: V8 ended by itself ${tries - 1} times`);
      }
    }
  });

  const cell = interop({
    interface: "CNI",
    caller: "Tripod's comparison",
    callee: peer("upstream's vrf", "containernetworking-plugins"),
  });
  test(`${cell} | the same VRF, and each takes back what the other made`, { skip: noUpstream("vrf") }, async () => {
    const upstream = upstreamCallee("vrf");
    for (const [adds, deletes] of [
      [own, upstream],
      [upstream, own],
    ] as const) {
      using netns = new FreshNetns();
      makeInterfaces(netns.path);
      const { links } = state(netns.path);
      const call = { netns: netns.path };
      await adds.call("ADD", configuration(), call);
      assert.ok(state(netns.path).links.includes("blue  1 true"), adds.whose);
      for (const each of [own, upstream]) await each.call("CHECK", configuration(), call);
      await deletes.call("DEL", configuration(), call);
      assert.deepEqual(state(netns.path).links, links);
    }
  });
}
