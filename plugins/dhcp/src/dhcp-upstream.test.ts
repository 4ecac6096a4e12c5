import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { watch } from "node:fs/promises";
import { test } from "node:test";
import { callerOf, compareWithUpstream, exchange, noUpstream, onFreshHost, upstreamDir } from "@tripod/cni/testing";
import { FreshNetns } from "@tripod/linux/testing";
import { bridge } from "@tripod/plugin-bridge";
import { interop, peer } from "@tripod/testing";
import { dhcp } from "./dhcp.ts";
import { DhcpLan, Dnsmasq } from "./testing/dhcp-lan.ts";
import { addressIn, DaemonPlace } from "./testing/own-daemon.ts";

const missing = noUpstream("dhcp");
if (missing !== false) test("dhcp beside upstream's", { skip: missing }, () => {});
else if (onFreshHost(import.meta.url)) {
  const lan = new DhcpLan();
  const place = new DaemonPlace();
  const { ipam } = place;
  const theirs = place.folder.join("upstream.sock");
  const server = await Dnsmasq.start(lan);
  const daemon = await place.serve();
  const made = watch(place.folder.path);
  const child = spawn(`${upstreamDir}/dhcp`, ["daemon", "-socketpath", theirs], { stdio: "ignore" });
  const exit = once(child, "exit");
  for await (const _event of made) if (existsSync(theirs)) break;
  test.after(async () => {
    child.kill("SIGTERM");
    await exit;
    await daemon[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
    place[Symbol.dispose]();
    lan[Symbol.dispose]();
  });

  const cell = interop({
    interface: "CNI",
    caller: "Tripod's comparison",
    callee: peer("upstream's IPAM plugins", "containernetworking-plugins"),
  });
  test(`${cell} | dhcp: the same namespace and result`, async () => {
    // By which the server chooses an address that nobody has.
    const mac = "02:00:00:00:00:99";
    const differences = await compareWithUpstream({
      plugin: dhcp,
      config: (side) => ({ ipam: { ...ipam, daemonSocketPath: side === "upstream" ? theirs : place.socketPath } }),
      prepare(netns) {
        lan.plug(netns, { mac });
        return { [Symbol.dispose]() {} };
      },
    });
    assert.deepEqual(differences, []);
  });

  test(`${cell} | dhcp: gets and gives back a container's address under Tripod's bridge`, async () => {
    using netns = new FreshNetns();
    const theirIpam = { ...ipam, daemonSocketPath: theirs };
    const call = callerOf({
      plugin: bridge,
      network: "lan",
      config: { cniVersion: "1.0.0", bridge: lan.bridge, ipam: theirIpam },
    });
    const result = await call("ADD", netns.path, { path: upstreamDir });
    await exchange({ from: netns.path, to: lan.netns, addresses: ["10.99.0.1"] });
    await call("CHECK", netns.path, { path: upstreamDir, more: { prevResult: result } });
    await call("DEL", netns.path, { path: upstreamDir });
    await server.says(new RegExp(`DHCPRELEASE.* ${addressIn(result)} `));
  });

  test("upstream's daemon at the socket is told apart", async () => {
    using netns = new FreshNetns();
    lan.plug(netns.path);
    const more = { ipam: { ...ipam, daemonSocketPath: theirs } };
    await assert.rejects(place.call("ADD", netns.path, { more }), { cniCode: 50, message: /none of Tripod's/ });
  });
}
