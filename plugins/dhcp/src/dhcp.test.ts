import assert from "node:assert/strict";
import { test } from "node:test";
import { parseResult } from "@tripod/cni";
import { callerOf, exchange, onFreshHost, testPluginContract } from "@tripod/cni/testing";
import { openRtnetlink } from "@tripod/linux";
import { FreshNetns } from "@tripod/linux/testing";
import { bridge } from "@tripod/plugin-bridge";
import { dhcp } from "./dhcp.ts";
import { HostedDhcp } from "./hosted-dhcp.ts";
import { askDaemon } from "./lease-client.ts";
import { DhcpLan, Dnsmasq } from "./testing/dhcp-lan.ts";
import { addressIn, DaemonPlace } from "./testing/own-daemon.ts";

if (onFreshHost(import.meta.url)) {
  const lan = new DhcpLan();
  const place = new DaemonPlace();
  const { call, ipam, socketPath } = place;
  const server = await Dnsmasq.start(lan, {
    more: ["dhcp-option=6,10.99.0.53", "domain=pods.example", "dhcp-option=42,10.99.0.4"],
  });
  const daemon = await place.serve();
  test.after(async () => {
    await daemon[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
    place[Symbol.dispose]();
    lan[Symbol.dispose]();
  });
  /** A container's namespace with an interface on the lan. */
  const plugged = (): FreshNetns => {
    const netns = new FreshNetns();
    lan.plug(netns.path);
    return netns;
  };

  testPluginContract({ plugin: dhcp, config: { ipam }, prepare: (netns) => lan.plug(netns) });

  test("a lease: address, gateway, route and resolver; DEL gives it back, and may be asked twice", async () => {
    using netns = plugged();
    const result = await call("ADD", netns.path);
    const address = addressIn(result);
    const { ips, routes, dns } = parseResult(result, "1.1.0");
    assert.deepEqual(ips, [{ address: `${address}/24`, gateway: "10.99.0.1" }]);
    assert.deepEqual(routes, [{ dst: "0.0.0.0/0", gw: "10.99.0.1" }]);
    assert.deepEqual(dns, { nameservers: ["10.99.0.53"], domain: "pods.example" });
    assert.ok(server.leased().includes(address));
    await call("CHECK", netns.path, { more: { prevResult: result } });
    await assert.rejects(call("ADD", netns.path), { message: /holds 10\.99\.0\.\d+\/24 already; DEL it first/ });
    await call("DEL", netns.path);
    await server.says(new RegExp(`DHCPRELEASE.* ${address} `));
    await call("DEL", netns.path);
    await assert.rejects(call("CHECK", netns.path, { more: { prevResult: result } }), { cniCode: 3 });
    assert.equal(place.recorded(), 0);
  });

  test("CHECK tells an address that is not the lease's", async () => {
    using netns = plugged();
    const result = await call("ADD", netns.path);
    const prevResult = { ...result, ips: [{ address: "10.99.0.251/24" }] };
    await assert.rejects(call("CHECK", netns.path, { more: { prevResult } }), { cniCode: 3, message: /did not give/ });
    await call("DEL", netns.path);
  });

  test("options are provided and asked for; routes get the metric; the identifier is the same when it is given back", async () => {
    using netns = plugged();
    const provide = [
      { option: "host-name", fromArg: "K8S_POD_NAME" },
      { option: "vendor-class-identifier", value: "tripod-test" },
      { option: "dhcp-client-identifier", value: "pod-17" },
    ];
    const more = {
      ipam: {
        ...ipam,
        provide,
        request: [{ skipDefault: true }, { option: "1" }, { option: "3" }, { option: "42" }],
        priority: 50,
      },
    };
    const args = "IgnoreUnknown=1;K8S_POD_NAME=web-1";
    const result = await call("ADD", netns.path, { more, args });
    await server.says(/client provides name: web-1/);
    await server.says(/requested options: 1:netmask, 3:router, 42:ntp-server/);
    await server.says(/vendor class: tripod-test/);
    await server.says(/sent.*option: 42 ntp-server {2}10\.99\.0\.4/);
    assert.deepEqual(parseResult(result, "1.1.0").routes, [{ dst: "0.0.0.0/0", gw: "10.99.0.1", priority: 50 }]);
    await call("DEL", netns.path, { more });
    await server.says(/DHCPRELEASE/);
    assert.ok(!server.leased().includes(addressIn(result)));
  });

  test("an interface that is gone before DEL: its lease is left to end, and nothing is kept", async () => {
    {
      using netns = plugged();
      await call("ADD", netns.path);
    }
    await call("DEL", "");
    assert.equal(place.recorded(), 0);
  });

  test("without an interface, and without a daemon, ADD says so", async () => {
    using netns = new FreshNetns();
    await assert.rejects(call("ADD", netns.path), { message: /eth0/ });
    const more = { ipam: { ...ipam, daemonSocketPath: `${socketPath}.none` } };
    const nobody = { cniCode: 50, message: /nobody listens there; start one: .* daemon/ };
    await assert.rejects(call("ADD", netns.path, { more }), nobody);
    await assert.rejects(call("STATUS", "", { more }), nobody);
    await call("DEL", netns.path, { more });
  });

  test("a second daemon on the socket is refused", async () => {
    await assert.rejects(place.serve(), {
      code: "already-exists",
      message: /another one keeps its leases; end that one/,
    });
  });

  test("a process that lives on is the daemon of its sockets, once for all", async () => {
    using other = new DaemonPlace();
    using netns = plugged();
    await using hosted = new HostedDhcp(other.log);
    const ask = callerOf({ plugin: hosted.plugin, network: "lan", config: { ipam: other.ipam } });
    await Promise.all([ask("STATUS", ""), ask("STATUS", "")]);
    const result = await ask("ADD", netns.path);
    await other.call("CHECK", netns.path, { more: { prevResult: result } });
    await using second = new HostedDhcp(other.log);
    await callerOf({ plugin: second.plugin, network: "lan", config: { ipam: other.ipam } })("DEL", netns.path);
    assert.equal(other.recorded(), 0);
  });

  const onBridge = { bridge: lan.bridge, ipam };
  const plugInBridge = callerOf({ plugin: bridge, delegates: [dhcp], network: "lan", config: onBridge });

  test("two containers on a bridge reach one another and the server; twice is refused, and the first goes on", async () => {
    using a = new FreshNetns();
    using b = new FreshNetns();
    const first = await plugInBridge("ADD", a.path, { containerId: "a" });
    const second = await plugInBridge("ADD", b.path, { containerId: "b" });
    assert.notEqual(addressIn(first), addressIn(second));
    await exchange({ from: a.path, to: b.path, addresses: [addressIn(second)] });
    await exchange({ from: b.path, to: lan.netns, addresses: ["10.99.0.1"] });
    await assert.rejects(plugInBridge("ADD", a.path, { containerId: "a" }), { message: /DEL the attachment first/ });
    await plugInBridge("CHECK", a.path, { containerId: "a", more: { prevResult: first } });
    for (const [id, { path }, result] of [
      ["a", a, first],
      ["b", b, second],
    ] as const) {
      await plugInBridge("DEL", path, { containerId: id });
      await server.says(new RegExp(`DHCPRELEASE.* ${addressIn(result)} `));
    }
    assert.equal(place.recorded(), 0);
  });

  test("an ADD that fails after the lease gives it back", async () => {
    using netns = new FreshNetns();
    using host = openRtnetlink();
    const { index } = host.linkByName(lan.bridge);
    host.addressAdd({ index, address: "10.99.0.200/25" });
    await assert.rejects(plugInBridge("ADD", netns.path, { more: { isGateway: true } }), { message: /forceAddress/ });
    host.addressDelete({ index, address: "10.99.0.200/25" });
    await server.says(/DHCPRELEASE/);
    assert.equal(place.recorded(), 0);
  });

  test("GC gives back the leases of those that no runtime knows any more, while their interfaces stand", async () => {
    using a = new FreshNetns();
    using b = new FreshNetns();
    const kept = await plugInBridge("ADD", a.path, { containerId: "kept" });
    const lost = await plugInBridge("ADD", b.path, { containerId: "lost" });
    await plugInBridge("GC", "", { more: { "cni.dev/valid-attachments": [{ containerID: "kept", ifname: "eth0" }] } });
    await server.says(new RegExp(`DHCPRELEASE.* ${addressIn(lost)} `));
    assert.equal(place.recorded(), 1);
    await plugInBridge("CHECK", a.path, { containerId: "kept", more: { prevResult: kept } });
    await plugInBridge("DEL", a.path, { containerId: "kept" });
  });

  test("without a server ADD fails in bounded time, with 'try again', and leaves nothing", async () => {
    using netns = new FreshNetns();
    lan.cut(true);
    try {
      const begun = performance.now();
      await assert.rejects(plugInBridge("ADD", netns.path), { cniCode: 11, message: /no server answered in 3 s/ });
      assert.ok(performance.now() - begun < 6000);
    } finally {
      lan.cut(false);
    }
    using there = openRtnetlink({ netns: netns.path });
    assert.equal(there.findLink("eth0"), undefined);
    assert.equal(place.recorded(), 0);
  });

  test("a caller that goes ends its ADD", async () => {
    using netns = plugged();
    lan.cut(true);
    try {
      const caller = new AbortController();
      const request = {
        network: "lan",
        containerId: "a",
        ifname: "eth0",
        netns: netns.path,
        provide: [],
        request: [1],
      };
      const asking = askDaemon(socketPath, { ask: "acquire", request }, caller.signal);
      caller.abort();
      await assert.rejects(asking, { name: "AbortError" });
      const begun = performance.now();
      await call("DEL", netns.path);
      assert.ok(performance.now() - begun < 1000);
    } finally {
      lan.cut(false);
    }
    assert.equal(place.recorded(), 0);
  });
}
