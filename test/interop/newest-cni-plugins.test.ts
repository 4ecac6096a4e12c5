import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { silentLogger } from "@tripod/base";
import { CniRuntime, type JsonObject } from "@tripod/cni";
import {
  exchange,
  lacksLinkKind,
  networkSnapshot,
  onFreshHost,
  outsideAddresses,
  snapshotDifferences,
  Uplink,
} from "@tripod/cni/testing";
import { nft, openRtnetlink } from "@tripod/linux";
import { FreshNetns, TemporaryFolder } from "@tripod/linux/testing";
import { goProgram, goPrograms, interop } from "@tripod/testing";

const { module, version } = goPrograms.bridge;
const programs = Object.values(goPrograms)
  .filter((program) => program.module === module)
  .map((program) => ({ name: program.command.split("/").at(-1) ?? "", built: goProgram(program) }));
const [skip = false] = programs.flatMap(({ built }) => ("skip" in built ? [built.skip] : []));

interface Network {
  readonly plugins: (ipam: JsonObject) => readonly JsonObject[];
  readonly reaches: readonly string[];
  /** Whose they are: the host's unless told, or the container's own, or beyond the uplink. */
  readonly where?: "inside" | "outside";
  /** An address that the container has, without which CHECK must fail. */
  readonly address?: string;
  /** With what CHECK fails, of an attachment that is in order. */
  readonly wronglyMissed?: RegExp;
  /** DEL fails without a namespace. */
  readonly wantsNetns?: true;
  /** What this machine lacks for it. */
  readonly lacks?: string | false;
}

const networks: Readonly<Record<string, Network>> = {
  "bridge, portmap, bandwidth, tuning": {
    plugins: (ipam) => [
      { type: "bridge", bridge: "new0", isDefaultGateway: true, ipMasq: true, ipMasqBackend: "nftables", ipam },
      { type: "portmap", backend: "nftables", capabilities: { portMappings: true } },
      { type: "bandwidth", capabilities: { bandwidth: true } },
      { type: "tuning", sysctl: { "net.ipv4.conf.eth0.arp_filter": "1" } },
    ],
    reaches: ["10.88.0.1", "fd88::1"],
  },
  ptp: {
    plugins: (ipam) => [{ type: "ptp", ipMasq: true, ipMasqBackend: "nftables", ipam }],
    reaches: ["10.88.0.1", "fd88::1"],
  },
  macvlan: {
    plugins: (ipam) => [{ type: "macvlan", master: "uplink", ipam }],
    reaches: outsideAddresses,
    where: "outside",
  },
  ipvlan: {
    plugins: (ipam) => [{ type: "ipvlan", master: "uplink", ipam }],
    reaches: outsideAddresses,
    where: "outside",
    lacks: lacksLinkKind("ipvlan"),
  },
  vlan: {
    plugins: (ipam) => [{ type: "vlan", master: "uplink", vlanId: 7, ipam }],
    reaches: ["10.88.0.10"],
    where: "inside",
    lacks: lacksLinkKind("vlan"),
  },
  "host-device": {
    plugins: (ipam) => [{ type: "host-device", device: "uplink", ipam }],
    reaches: outsideAddresses,
    where: "outside",
  },
  dummy: {
    plugins: (ipam) => [{ type: "dummy", ipam }],
    reaches: ["10.88.0.10"],
    where: "inside",
    lacks: lacksLinkKind("dummy"),
  },
  tap: {
    // No frame passes, and the kernel waits with IPv6, until a program opens the device.
    plugins: (ipam) => [{ type: "tap", ipam }],
    reaches: ["10.88.0.10"],
    where: "inside",
    lacks: lacksLinkKind("tap"),
  },
  "static on a bridge, firewall": {
    plugins: () => [
      {
        type: "bridge",
        bridge: "new0",
        isGateway: true,
        ipam: { type: "static", addresses: [{ address: "10.89.0.5/24", gateway: "10.89.0.1" }] },
      },
      { type: "firewall", backend: "iptables" },
    ],
    reaches: ["10.89.0.1"],
    address: "10.89.0.5/24",
    lacks: lacksIptables(),
  },
  "sbr behind a bridge": {
    plugins: (ipam) => [
      { type: "bridge", bridge: "new0", isDefaultGateway: true, ipam },
      { type: "sbr", addSourceHints: true },
    ],
    reaches: ["10.88.0.1", "fd88::1"],
    // Its sbr takes the default route out of the table in which its bridge looks for it.
    wronglyMissed: /Failed to find Gateway|Expected Route .*GW:.* not found/,
    wantsNetns: true,
  },
  "vrf behind a bridge": {
    plugins: (ipam) => [
      { type: "bridge", bridge: "new0", ipam },
      { type: "vrf", vrfname: "blue" },
    ],
    reaches: ["10.88.0.10"],
    where: "inside",
    lacks: lacksLinkKind("vrf"),
  },
};

/** Upstream's firewall has no other way without firewalld. */
function lacksIptables(): string | false {
  const { status } = spawnSync("iptables", ["--version"]);
  return status === 0 ? false : "this machine has no iptables";
}

if (onFreshHost(import.meta.url)) {
  const cell = interop({
    interface: "CNI",
    caller: "Tripod's runtime",
    callee: `upstream's plugins ${version.slice(1)}`,
  });
  for (const [name, network] of Object.entries(networks)) {
    const { plugins, reaches, where, address = "10.88.0.10/24", wronglyMissed, wantsNetns, lacks = false } = network;
    test(`${cell} | ${name}: status, add, check, traffic, gc, del`, {
      skip: skip === false ? lacks : skip,
    }, async () => {
      using folder = new TemporaryFolder("cni-newest");
      using uplink = new Uplink();
      for (const dir of ["bin", "net.d", "pool"]) mkdirSync(folder.join(dir));
      for (const { name: plugin, built } of programs)
        if ("path" in built) symlinkSync(built.path, folder.join("bin", plugin));
      const ranges = [
        [{ subnet: "10.88.0.0/24", rangeStart: "10.88.0.10" }],
        [{ subnet: "fd88::/64", rangeStart: "fd88::10" }],
      ];
      const ipam = { type: "host-local", dataDir: folder.join("pool"), ranges };
      const list = { cniVersion: "1.1.0", name: "newest", plugins: plugins(ipam) };
      writeFileSync(folder.join("net.d/10-newest.conflist"), JSON.stringify(list));
      await using runtime = new CniRuntime({
        confDir: folder.join("net.d"),
        binDirs: [folder.join("bin")],
        cacheDir: folder.join("cache"),
        log: silentLogger,
      });
      await runtime.load();
      assert.ok((await runtime.pluginStatus()).ready);
      const check = async (missed?: RegExp): Promise<void> => {
        if (missed === undefined) await runtime.check({ containerId: "a" });
        else await assert.rejects(runtime.check({ containerId: "a" }), { message: missed });
      };
      const before = networkSnapshot();
      using stack = new DisposableStack();
      stack.defer(() => {
        using host = openRtnetlink();
        host.linkDelete("new0");
      });
      using netns = new FreshNetns();
      const attachment = {
        containerId: "a",
        netns: netns.path,
        capabilityArgs: {
          portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }],
          bandwidth: { ingressRate: 100_000_000, ingressBurst: 1_000_000 },
        },
      };
      const result = await runtime.add(attachment);
      assert.equal(result.cniVersion, "1.1.0");
      await check(wronglyMissed);
      const to = where === "inside" ? netns.path : where === "outside" ? uplink.outside : undefined;
      await exchange({ from: netns.path, to, addresses: reaches });
      await runtime.gc({ validAttachments: [{ containerId: "a", ifname: "eth0" }] });
      await check(wronglyMissed);
      {
        using there = openRtnetlink({ netns: netns.path });
        there.addressDelete({ index: there.linkByName("eth0").index, address });
      }
      await check(new RegExp(RegExp.escape(address.replace(/\/.*/, ""))));
      // Its GC does nothing; the runtime's DEL of what it has on record is what takes it away.
      await runtime.gc({ validAttachments: [] });
      // Nothing is on record any more. Its host-device then fails with a namespace, its sbr without one.
      await runtime.del({ containerId: "a", ...(wantsNetns === true ? { netns: netns.path } : {}) });
      const reserved = readdirSync(folder.join("pool"), { recursive: true, encoding: "utf8" });
      assert.deepEqual(
        reserved.filter((file) => /\/(10\.|fd)/.test(file)),
        [],
      );
      const rules = `${nft("list ruleset")}${spawnSync("iptables-save", { encoding: "utf8" }).stdout ?? ""}`;
      assert.doesNotMatch(rules, /8080|10\.8[89]\.0\.(10|5)\b/);
      // The bridge and forwarding stay; and the kernel sets a device down that changes its namespace.
      const stays = /forwarding|new0|link uplink up/;
      const left = snapshotDifferences(before, networkSnapshot()).filter((line) => !stays.test(line));
      assert.deepEqual(left, []);
    });
  }
}
