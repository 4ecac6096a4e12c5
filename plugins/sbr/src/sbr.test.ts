import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import type { JsonObject } from "@tripod/cni/sdk";
import { noUpstream, onFreshHost, ownCallee, testPluginContract, upstreamCallee } from "@tripod/cni/testing";
import { inNetns, openRtnetlink } from "@tripod/linux";
import { FreshNetns } from "@tripod/linux/testing";
import { interop, peer } from "@tripod/testing";
import { sbr } from "./sbr.ts";

const prevResult: JsonObject = {
  cniVersion: "1.0.0",
  interfaces: [
    { name: "eth0", sandbox: "/run/netns/a" },
    { name: "net1", sandbox: "/run/netns/a" },
  ],
  ips: [
    { interface: 0, address: "10.1.0.2/24", gateway: "10.1.0.1" },
    { interface: 1, address: "10.2.0.2/24", gateway: "10.2.0.1" },
    { interface: 1, address: "10.3.0.2/24", gateway: "10.3.0.1" },
    { interface: 1, address: "fd02::2/64", gateway: "fd02::1" },
  ],
};

const configuration = (more: JsonObject = {}): JsonObject => ({
  cniVersion: "1.0.0",
  name: "net",
  type: "sbr",
  prevResult,
  ...more,
});

/** Two interfaces, the default route by the first, and a further route by the second. */
function makeInterfaces(netns: string): void {
  using there = openRtnetlink({ netns });
  const addresses = { eth0: ["10.1.0.2/24"], net1: ["10.2.0.2/24", "10.3.0.2/24", "fd02::2/64"] };
  for (const [name, list] of Object.entries(addresses)) {
    there.linkAdd({ kind: "veth", name, up: true, peer: { name: `${name}-peer`, up: true } });
    const { index } = there.linkByName(name);
    for (const address of list) there.addressAdd({ index, address, noDad: true });
  }
  there.routeAdd({ dst: "default", gateway: "10.1.0.1", index: there.linkByName("eth0").index });
  there.routeAdd({ dst: "172.16.0.0/12", gateway: "10.2.0.1", index: there.linkByName("net1").index });
}

/** Where the kernel would send a packet: "via 10.2.0.1 dev net1 table 100". */
function wayOf(netns: string, to: string, from?: string): string {
  const args = ["route", "get", to, ...(from === undefined ? [] : ["from", from])];
  const { stdout, stderr } = inNetns(netns, () => spawnSync("ip", args, { encoding: "utf8" }));
  const [via, dev] = [/via \S+/, /dev \S+/].map((pattern) => pattern.exec(stdout)?.[0]);
  assert.ok(dev !== undefined, stderr);
  return via === undefined ? dev : `${via} ${dev}`;
}

interface Routing {
  readonly rules: readonly string[];
  readonly routes: readonly string[];
}

/** Rules and routes, by the names of interfaces. */
function routing(netns: string): Routing {
  using there = openRtnetlink({ netns });
  const nameOf = (index = 0): string => there.findLink(index)?.name ?? "";
  return {
    rules: there
      .rules()
      .map(({ from, table, family }) => `${family} ${from ?? "all"} ${table}`)
      .toSorted(),
    routes: there
      .routes()
      .filter(({ table, dst }) => table !== 255 && !/^(fe80|ff)/.test(dst))
      .map(
        ({ dst, gateway, index, table, src, family }) =>
          `${family} ${dst} ${gateway ?? ""} ${nameOf(index)} ${src ?? ""} ${table}`,
      )
      .toSorted(),
  };
}

const own = ownCallee(sbr);

if (process.argv[2] === "add") {
  // The child of the crash test: one ADD, in the course of which a failpoint ends the process.
  await own.call("ADD", configuration(), { netns: process.argv[3] ?? "", ifname: "net1" });
} else if (onFreshHost(import.meta.url)) {
  testPluginContract({ plugin: sbr, config: { prevResult }, ifname: "net1", prepare: makeInterfaces });

  test("sbr: what comes from an interface's address leaves by it, and after DEL no rule is left", async () => {
    using netns = new FreshNetns();
    makeInterfaces(netns.path);
    using there = openRtnetlink({ netns: netns.path });
    const before = there.rules();
    assert.equal(wayOf(netns.path, "8.8.8.8", "10.2.0.2"), "via 10.1.0.1 dev eth0");
    const call = { netns: netns.path, ifname: "net1" };
    assert.deepEqual(await own.call("ADD", configuration(), call), prevResult);
    await own.call("CHECK", configuration(), call);
    assert.equal(wayOf(netns.path, "8.8.8.8", "10.2.0.2"), "via 10.2.0.1 dev net1");
    assert.equal(wayOf(netns.path, "8.8.8.8", "10.3.0.2"), "via 10.3.0.1 dev net1");
    assert.equal(wayOf(netns.path, "2001:db8::1", "fd02::2"), "via fd02::1 dev net1");
    assert.equal(wayOf(netns.path, "172.16.0.9", "10.2.0.2"), "via 10.2.0.1 dev net1");
    assert.equal(wayOf(netns.path, "10.2.0.9", "10.2.0.2"), "dev net1");
    assert.equal(wayOf(netns.path, "8.8.8.8"), "via 10.1.0.1 dev eth0");
    assert.equal(wayOf(netns.path, "10.2.0.9"), "via 10.1.0.1 dev eth0");
    // With the interface gone first, upstream's leaves the rules.
    there.linkDelete("net1");
    await assert.rejects(own.call("CHECK", configuration(), call), { cniCode: 3 });
    for (let time = 0; time < 2; time += 1) await own.call("DEL", configuration(), call);
    assert.deepEqual(there.rules(), before);
  });

  test("sbr: a named table gets rules alone; gateways and source hints as they are told", async () => {
    using netns = new FreshNetns();
    makeInterfaces(netns.path);
    using there = openRtnetlink({ netns: netns.path });
    const call = { netns: netns.path, ifname: "net1" };
    const { routes } = routing(netns.path);
    await own.call("ADD", configuration({ table: 4000 }), call);
    assert.deepEqual(routing(netns.path).routes, routes);
    assert.deepEqual(
      there
        .rules()
        .flatMap(({ from, table }) => (table === 4000 ? [from ?? ""] : []))
        .toSorted(),
      ["10.2.0.2/32", "10.3.0.2/32", "fd02::2/128"],
    );
    await assert.rejects(own.call("CHECK", configuration({ table: 4000 }), call), {
      message: /table 4000, .* is empty/,
    });
    await own.call("DEL", configuration({ table: 4000 }), call);
    const stdin = configuration({
      gateways: ["10.2.0.254", "fd02::fe"],
      addSourceHints: true,
      prevResult: {
        ...prevResult,
        ips: [
          { interface: 1, address: "10.2.0.2/24" },
          { interface: 1, address: "fd02::2/64" },
        ],
      },
    });
    await own.call("ADD", stdin, call);
    assert.equal(wayOf(netns.path, "8.8.8.8", "10.2.0.2"), "via 10.2.0.254 dev net1");
    assert.equal(wayOf(netns.path, "2001:db8::1", "fd02::2"), "via fd02::fe dev net1");
    assert.equal(wayOf(netns.path, "10.2.0.9"), "dev net1");
    assert.equal(wayOf(netns.path, "172.16.0.9"), "via 10.1.0.1 dev eth0");
  });

  test("sbr: what is wrong is refused before anything is changed", async () => {
    using netns = new FreshNetns();
    makeInterfaces(netns.path);
    const before = routing(netns.path);
    const rows: [JsonObject, RegExp][] = [
      [{ gateways: ["10.2.0.1", "10.2.0.2"] }, /two of IPv4/],
      [{ gateways: ["nonsense"] }, /nonsense/],
      [{ table: 0 }, /table/],
      [{ prevResult: null }, /prevResult is missing/],
      [{ prevResult: { cniVersion: "1.0.0" } }, /no address of net1/],
    ];
    const call = { netns: netns.path, ifname: "net1" };
    for (const [more, why] of rows) await assert.rejects(own.call("ADD", configuration(more), call), { message: why });
    assert.deepEqual(routing(netns.path), before);
  });

  test("sbr: after a kill in the course of ADD, a second one ends with the same", async () => {
    const call = (netns: string) => ({ netns, ifname: "net1" });
    using whole = new FreshNetns();
    makeInterfaces(whole.path);
    await own.call("ADD", configuration(), call(whole.path));
    for (const point of ["sbr.replace-route@2", "sbr.add-rule@2"]) {
      using netns = new FreshNetns();
      makeInterfaces(netns.path);
      const child = spawnSync(process.execPath, [fileURLToPath(import.meta.url), "add", netns.path], {
        env: { ...process.env, TRIPOD_FAILPOINT: point, NODE_TEST_CONTEXT: undefined },
        encoding: "utf8",
      });
      assert.equal(child.signal, "SIGKILL", `${point}: ${child.stderr}`);
      await own.call("ADD", configuration(), call(netns.path));
      for (const [to, from] of [
        ["8.8.8.8", "10.2.0.2"],
        ["8.8.8.8", "10.3.0.2"],
        ["172.16.0.9", "10.2.0.2"],
      ] as const)
        assert.equal(wayOf(netns.path, to, from), wayOf(whole.path, to, from), point);
    }
  });

  const cell = interop({
    interface: "CNI",
    caller: peer("upstream's sbr", "containernetworking-plugins"),
    callee: "Tripod's sbr",
  });
  test(`${cell} | the same inputs make the same rules and routes, and each takes back what the other made`, {
    skip: noUpstream("sbr"),
  }, async () => {
    const upstream = upstreamCallee("sbr");
    const outcomes: Routing[] = [];
    for (const [adds, deletes] of [
      [own, upstream],
      [upstream, own],
    ] as const) {
      using netns = new FreshNetns();
      makeInterfaces(netns.path);
      using there = openRtnetlink({ netns: netns.path });
      const before = there.rules();
      const call = { netns: netns.path, ifname: "net1" };
      await adds.call("ADD", configuration(), call);
      outcomes.push(routing(netns.path));
      for (const each of [own, upstream]) await each.call("CHECK", configuration(), call);
      await deletes.call("DEL", configuration(), call);
      assert.deepEqual(there.rules(), before);
    }
    // Upstream's puts IPv6 routes into the tables of IPv4 addresses too, where nothing looks for them.
    const usable = ({ rules, routes }: Routing): Routing => ({
      rules,
      routes: routes.filter((route) => !/^ipv6 .* 10[01]$/.test(route)),
    });
    const [ours, theirs] = outcomes;
    assert.ok(ours !== undefined && theirs !== undefined);
    assert.deepEqual(ours, usable(theirs));
  });
}
