import assert from "node:assert/strict";
import { createServer } from "node:net";
import { once } from "node:events";
import { test, type TestContext } from "node:test";
import { inNetns } from "../namespaces/in-namespaces.ts";
import { connectInNetns } from "../netns-socket.ts";
import { isErrno } from "../system-call-error.ts";
import { FreshNetns } from "../testing/fresh-netns.ts";
import type { LinkSpec } from "./link-add.ts";
import { linkDeleteOffThread } from "./link-delete.ts";
import { openRtnetlink } from "./rtnetlink.ts";
import { tunTapAdd } from "./tuntap.ts";

/** Whether the kernel can make such a link: tried in a namespace of its own. */
function canMake(spec: LinkSpec): boolean {
  using host = new FreshNetns();
  using rtnetlink = openRtnetlink({ netns: host.path });
  try {
    rtnetlink.linkAdd(spec);
    return true;
  } catch (error) {
    if (isErrno(error, "EOPNOTSUPP")) return false;
    throw error;
  }
}

test("linkAdd makes a veth whose peer is in the other namespace from the start", () => {
  using host = new FreshNetns();
  using pod = new FreshNetns();
  using there = openRtnetlink({ netns: host.path });
  using inside = openRtnetlink({ netns: pod.path });
  there.linkAdd({ kind: "bridge", name: "br0", up: true });
  const bridge = there.linkByName("br0");
  there.linkAdd({
    kind: "veth",
    name: "veth0",
    mtu: 1400,
    up: true,
    master: bridge.index,
    alias: "tripod:pod-1",
    peer: { name: "eth0", netns: pod.path, mac: "02:00:0a:00:00:05", mtu: 1400, up: true },
  });
  const eth0 = inside.linkByName("eth0");
  assert.equal(eth0.mac, "02:00:0a:00:00:05");
  assert.equal(eth0.mtu, 1400);
  assert(eth0.up && eth0.running);
  const veth = there.linkByName("veth0");
  assert.equal(veth.kind, "veth");
  assert.equal(veth.master, bridge.index);
  assert.equal(veth.alias, "tripod:pod-1");
  assert.equal(veth.parent, eth0.index);
  assert.equal(veth.port?.state, "forwarding");
  assert.equal(there.findLink("eth0"), undefined);
  assert(there.linkDelete("veth0"));
  assert(!there.linkDelete("veth0"));
  assert.equal(inside.findLink("eth0"), undefined);
});

test("linkAdd leaves nothing behind when the peer cannot come up", () => {
  using host = new FreshNetns();
  using rtnetlink = openRtnetlink({ netns: host.path });
  assert.throws(
    () =>
      rtnetlink.linkAdd({ kind: "veth", name: "veth0", peer: { name: "eth0", mac: "01:00:00:00:00:01", up: true } }),
    (error) => isErrno(error, "EADDRNOTAVAIL", "EINVAL"),
  );
  assert.deepEqual(
    rtnetlink.links().map(({ name }) => name),
    ["lo"],
  );
});

test("linkAdd refuses a duplicate name, and errors carry the kernel's words", () => {
  using host = new FreshNetns();
  using rtnetlink = openRtnetlink({ netns: host.path });
  rtnetlink.linkAdd({ kind: "bridge", name: "br0" });
  assert.throws(() => rtnetlink.linkAdd({ kind: "bridge", name: "br0" }), { code: "already-exists", errno: "EEXIST" });
  assert.throws(() => rtnetlink.linkAdd({ kind: "bridge", name: "br1", mtu: 5 }), /mtu less than device minimum/);
  assert.throws(() => rtnetlink.linkByName("none0"), { code: "not-found", errno: "ENODEV" });
  assert.throws(() => rtnetlink.linkSet("none0", { up: true }), { code: "not-found" });
});

test("links of the other kinds are made and read back", () => {
  using host = new FreshNetns();
  using rtnetlink = openRtnetlink({ netns: host.path });
  rtnetlink.linkAdd({ kind: "veth", name: "a", peer: { name: "b" } });
  const parent = rtnetlink.linkByName("a").index;
  rtnetlink.linkAdd({ kind: "macvlan", name: "mac0", parent, mode: "private" });
  assert.equal(rtnetlink.linkByName("mac0").mode, 1);
  rtnetlink.linkAdd({
    kind: "vxlan",
    name: "flannel.1",
    id: 1,
    port: 8472,
    learning: false,
    local: "127.0.0.1",
    parent: 1,
  });
  assert.deepEqual(rtnetlink.linkByName("flannel.1").vxlan, { id: 1, port: 8472, local: "127.0.0.1", learning: false });
  rtnetlink.linkAdd({ kind: "ifb", name: "ifb0", txQueueLength: 32 });
  assert.equal(rtnetlink.linkByName("ifb0").txQueueLength, 32);
  tunTapAdd({ kind: "tap", name: "tap0", netns: host.path });
  tunTapAdd({ kind: "tun", name: "tun0", netns: host.path, owner: 1000 });
  assert.equal(rtnetlink.linkByName("tap0").kind, "tun");
  assert(rtnetlink.linkDelete("tun0"));
});

for (const spec of [
  { kind: "vlan", name: "probe", parent: 1, vlanId: 5 },
  { kind: "ipvlan", name: "probe", parent: 1 },
] as const) {
  test(`linkAdd makes a ${spec.kind}`, (t: TestContext) => {
    if (!canMake(spec)) return t.skip(`this kernel has no ${spec.kind}`);
    using host = new FreshNetns();
    using rtnetlink = openRtnetlink({ netns: host.path });
    rtnetlink.linkAdd({ kind: "veth", name: "a", peer: { name: "b" } });
    rtnetlink.linkAdd({ ...spec, name: "x", parent: rtnetlink.linkByName("a").index });
    assert.equal(rtnetlink.linkByName("x").kind, spec.kind);
  });
}

test("linkSet changes state, name, MTU, MAC, flags, port settings and namespace", () => {
  using host = new FreshNetns();
  using pod = new FreshNetns();
  using rtnetlink = openRtnetlink({ netns: host.path });
  using inside = openRtnetlink({ netns: pod.path });
  rtnetlink.linkAdd({ kind: "bridge", name: "br0" });
  rtnetlink.linkAdd({ kind: "veth", name: "a", peer: { name: "b" } });
  const { index } = rtnetlink.linkByName("a");
  const master = rtnetlink.linkByName("br0").index;
  rtnetlink.linkSet("a", { name: "c", mtu: 1300, mac: "02:00:00:00:00:01" });
  rtnetlink.linkSet(index, {
    up: true,
    promiscuous: true,
    master,
    port: { hairpin: true, isolated: true, learning: false },
  });
  const changed = rtnetlink.linkByName("c");
  assert.equal(changed.mtu, 1300);
  assert.equal(changed.mac, "02:00:00:00:00:01");
  assert(changed.up && changed.promiscuous);
  assert.equal(changed.master, master);
  const { hairpin, isolated, learning, unicastFlood } = changed.port ?? {};
  assert.deepEqual(
    { hairpin, isolated, learning, unicastFlood },
    { hairpin: true, isolated: true, learning: false, unicastFlood: true },
  );
  rtnetlink.linkSet("c", { master: "none", up: false, promiscuous: false });
  assert.equal(rtnetlink.linkByName("c").master, undefined);
  rtnetlink.linkSet("b", { netns: pod.path, name: "eth0" });
  assert.equal(rtnetlink.findLink("b"), undefined);
  assert.equal(inside.linkByName("eth0").kind, "veth");
});

test("addresses and routes of both families are added, listed, replaced and deleted", () => {
  using host = new FreshNetns();
  using rtnetlink = openRtnetlink({ netns: host.path });
  rtnetlink.linkAdd({ kind: "veth", name: "a", up: true, peer: { name: "b", up: true } });
  const { index } = rtnetlink.linkByName("a");
  rtnetlink.addressAdd({ index, address: "10.1.2.3/24", broadcast: "10.1.2.255" });
  rtnetlink.addressAdd({ index, address: "fd00::5/64", noDad: true });
  assert.throws(() => rtnetlink.addressAdd({ index, address: "10.1.2.3/24" }), { code: "already-exists" });
  rtnetlink.addressReplace({ index, address: "10.1.2.3/24" });
  const [v4] = rtnetlink.addresses({ family: "ipv4", index });
  assert.equal(v4?.address, "10.1.2.3/24");
  assert.equal(v4?.scope, "global");
  const v6 = rtnetlink.addresses({ family: "ipv6", index }).find(({ address }) => address === "fd00::5/64");
  assert.equal(v6?.tentative, false);
  rtnetlink.routeAdd({ dst: "default", gateway: "10.1.2.1", src: "10.1.2.3", mtu: 1300 });
  rtnetlink.routeAdd({ dst: "default", gateway: "fd00::1" });
  rtnetlink.routeAdd({ dst: "10.9.0.0/16", index, table: 1000, metric: 7 });
  rtnetlink.routeAdd({ dst: "10.8.0.0/16", gateway: "192.0.2.1", index, onlink: true });
  rtnetlink.routeAdd({ dst: "10.7.0.0/16", type: "blackhole" });
  rtnetlink.routeAdd({
    dst: "10.6.0.0/16",
    nextHops: [
      { index, gateway: "10.1.2.7", weight: 3 },
      { index, gateway: "10.1.2.8" },
    ],
  });
  const route = (dst: string, family: "ipv4" | "ipv6" = "ipv4") => rtnetlink.routes({ dst, family })[0];
  assert.deepEqual(
    [route("default")?.gateway, route("default")?.src, route("default")?.mtu, route("default", "ipv6")?.gateway],
    ["10.1.2.1", "10.1.2.3", 1300, "fd00::1"],
  );
  assert.deepEqual(
    [route("10.9.0.0/16")?.table, route("10.9.0.0/16")?.metric, route("10.9.0.0/16")?.scope],
    [1000, 7, "link"],
  );
  assert.equal(route("10.8.0.0/16")?.onlink, true);
  assert.equal(route("10.7.0.0/16")?.type, "blackhole");
  assert.deepEqual(
    route("10.6.0.0/16")?.nextHops.map(({ gateway, weight }) => [gateway, weight]),
    [
      ["10.1.2.7", 3],
      ["10.1.2.8", 1],
    ],
  );
  rtnetlink.routeReplace({ dst: "default", gateway: "10.1.2.9" });
  assert.deepEqual(
    rtnetlink.routes({ dst: "default", family: "ipv4" }).map(({ gateway }) => gateway),
    ["10.1.2.9"],
  );
  assert.throws(() => rtnetlink.routeAdd({ dst: "default", gateway: "10.1.2.9" }), { code: "already-exists" });
  assert.throws(
    () => rtnetlink.routeAdd({ dst: "10.5.0.0/16", gateway: "203.0.113.1" }),
    /invalid gateway.*ENETUNREACH/,
  );
  for (const dst of ["default", "10.8.0.0/16", "10.7.0.0/16", "10.6.0.0/16"]) rtnetlink.routeDelete({ dst });
  rtnetlink.routeDelete({ dst: "10.9.0.0/16", table: 1000 });
  assert.throws(() => rtnetlink.routeDelete({ dst: "default" }), { errno: "ESRCH", code: "not-found" });
  rtnetlink.addressDelete({ index, address: "10.1.2.3/24" });
  assert.deepEqual(rtnetlink.addresses({ family: "ipv4", index }), []);
  assert.throws(() => rtnetlink.addressDelete({ index, address: "10.1.2.3/24" }), { errno: "EADDRNOTAVAIL" });
});

test("neighbours and forwarding entries, as an overlay network needs them", () => {
  using host = new FreshNetns();
  using rtnetlink = openRtnetlink({ netns: host.path });
  rtnetlink.linkAdd({ kind: "vxlan", name: "flannel.1", id: 1, port: 8472, learning: false, up: true });
  const { index } = rtnetlink.linkByName("flannel.1");
  const mac = "02:00:00:00:00:09";
  rtnetlink.addressAdd({ index, address: "10.244.0.0/32" });
  rtnetlink.neighbourReplace({ index, address: "10.244.1.0", mac });
  rtnetlink.neighbourAdd({ table: "fdb", index, mac, address: "192.0.2.9" });
  rtnetlink.neighbourAppend({ table: "fdb", index, mac: "00:00:00:00:00:00", address: "192.0.2.10" });
  rtnetlink.routeReplace({ dst: "10.244.1.0/24", gateway: "10.244.1.0", index, onlink: true });
  const [neighbour] = rtnetlink.neighbours({ index });
  assert.deepEqual([neighbour?.address, neighbour?.mac, neighbour?.state], ["10.244.1.0", mac, "permanent"]);
  const entries = rtnetlink.neighbours({ table: "fdb", index }).map((entry) => `${entry.mac} ${entry.address}`);
  assert.deepEqual(entries.sort(), ["00:00:00:00:00:00 192.0.2.10", `${mac} 192.0.2.9`]);
  rtnetlink.neighbourDelete({ table: "fdb", index, mac, address: "192.0.2.9" });
  rtnetlink.neighbourDelete({ index, address: "10.244.1.0" });
  assert.equal(rtnetlink.neighbours({ table: "fdb", index }).length, 1);
  rtnetlink.neighbourAdd({ index, address: "169.254.1.1", proxy: true });
  assert.equal(rtnetlink.neighbours({ index, proxy: true })[0]?.address, "169.254.1.1");
});

test("policy rules are added, listed and deleted", () => {
  using host = new FreshNetns();
  using rtnetlink = openRtnetlink({ netns: host.path });
  const rule = { from: "10.1.0.0/16", table: 500, priority: 100, iif: "lo", mark: 0x10, mask: 0xff } as const;
  rtnetlink.ruleAdd(rule);
  const found = rtnetlink.rules({ family: "ipv4" }).find(({ table }) => table === 500);
  assert(found !== undefined);
  for (const [key, value] of Object.entries(rule))
    assert.equal(Object.entries(found).find(([name]) => name === key)?.[1], value, key);
  rtnetlink.ruleDelete(rule);
  assert.throws(() => rtnetlink.ruleDelete(rule), { code: "not-found" });
  assert.equal(rtnetlink.rules({ family: "ipv6" })[0]?.table, 255);
});

test("bridge VLANs are added, listed and deleted", (t: TestContext) => {
  if (!canMake({ kind: "bridge", name: "br0", vlanFiltering: true }))
    return t.skip("this kernel's bridge has no VLAN filtering");
  using host = new FreshNetns();
  using rtnetlink = openRtnetlink({ netns: host.path });
  rtnetlink.linkAdd({ kind: "bridge", name: "br0", vlanFiltering: true, vlanDefaultPvid: 0 });
  rtnetlink.linkAdd({ kind: "veth", name: "a", master: rtnetlink.linkByName("br0").index, peer: { name: "b" } });
  const { index } = rtnetlink.linkByName("a");
  rtnetlink.bridgeVlanAdd({ index, vlan: { id: 5, pvid: true, untagged: true } });
  rtnetlink.bridgeVlanAdd({ index, vlan: { id: 10, lastId: 12 } });
  assert.deepEqual(
    rtnetlink
      .bridgeVlans()
      .get(index)
      ?.map(({ id }) => id),
    [5, 10, 11, 12],
  );
  rtnetlink.bridgeVlanDelete({ index, vlan: { id: 10, lastId: 12 } });
  assert.equal(rtnetlink.bridgeVlans().get(index)?.length, 1);
});

test("a dump of more links than fit into one datagram is whole", () => {
  using host = new FreshNetns();
  using rtnetlink = openRtnetlink({ netns: host.path });
  for (let number = 0; number < 60; number += 1) {
    rtnetlink.linkAdd({ kind: "veth", name: `a${number}`, peer: { name: `b${number}` } });
  }
  assert.equal(new Set(rtnetlink.links().map(({ name }) => name)).size, 121);
});

test("a closed socket is refused, and frees its namespace", () => {
  using host = new FreshNetns();
  const rtnetlink = openRtnetlink({ netns: host.path });
  rtnetlink[Symbol.dispose]();
  rtnetlink[Symbol.dispose]();
  assert.throws(() => rtnetlink.links(), { code: "failed-precondition" });
});

test("packets flow over a bridge between two namespaces", async () => {
  using host = new FreshNetns();
  using one = new FreshNetns();
  using two = new FreshNetns();
  using there = openRtnetlink({ netns: host.path });
  there.linkAdd({ kind: "bridge", name: "br0", up: true });
  const master = there.linkByName("br0").index;
  for (const [number, pod] of [one, two].entries()) {
    there.linkAdd({
      kind: "veth",
      name: `v${number}`,
      up: true,
      master,
      peer: { name: "eth0", netns: pod.path, up: true },
    });
    using inside = openRtnetlink({ netns: pod.path });
    inside.addressAdd({ index: inside.linkByName("eth0").index, address: `10.5.0.${number + 1}/24` });
  }
  const server = createServer((socket) => socket.end("hello"));
  // Without a host name listen() makes and binds its socket within the call, that is, inside.
  inNetns(two.path, () => server.listen(8080));
  try {
    await once(server, "listening");
    const client = await connectInNetns(one.path, { host: "10.5.0.2", port: 8080 });
    const chunks: Buffer[] = [];
    client.on("data", (chunk: Buffer) => chunks.push(chunk));
    await once(client, "end");
    assert.equal(Buffer.concat(chunks).toString(), "hello");
    client.destroy();
  } finally {
    server.close();
  }
});

test("linkDeleteOffThread takes a link and its peer out of sight; the name can be used at once", async () => {
  using host = new FreshNetns();
  using pod = new FreshNetns();
  using there = openRtnetlink({ netns: host.path });
  using inside = openRtnetlink({ netns: pod.path });
  there.linkAdd({ kind: "bridge", name: "br0" });
  const bridge = there.linkByName("br0").index;
  for (let round = 0; round < 10; round += 1) {
    there.linkAdd({ kind: "veth", name: "v0", peer: { name: "eth0", netns: pod.path } });
    there.linkSet("v0", { up: true, master: bridge });
    inside.linkSet("eth0", { up: true });
    assert.equal(await linkDeleteOffThread("v0", { netns: host.path }), true);
    assert.equal(there.findLink("v0"), undefined);
    assert.equal(inside.findLink("eth0"), undefined);
  }
  assert.equal(await linkDeleteOffThread("v0", { netns: host.path }), false);
  assert.equal(await linkDeleteOffThread(4711, { netns: host.path }), false);
  await assert.rejects(linkDeleteOffThread("lo", { netns: host.path }), { errno: "EOPNOTSUPP" });
});
