import assert from "node:assert/strict";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { after, test } from "node:test";
import { type CommandResult, runCommand } from "@tripod/base";
import { type JsonObject, parseResult } from "@tripod/cni";
import {
  exchange,
  networkSnapshot,
  onFreshHost,
  outsideAddresses,
  snapshotDifferences,
  Uplink,
} from "@tripod/cni/testing";
import { nft } from "@tripod/linux";
import { FreshNetns, TemporaryFolder } from "@tripod/linux/testing";
import { installPlugins } from "@tripod/plugin-bundle";
import { goProgram, goPrograms, interop } from "@tripod/testing";

const cnitool = goProgram(goPrograms.cnitool);

/** A network, and which addresses a container must reach in it. */
interface Network {
  readonly plugins: (ipam: JsonObject) => readonly JsonObject[];
  readonly reaches: readonly string[];
  /** They are not the host's, but beyond the uplink. */
  readonly outside?: true;
  readonly capabilities?: JsonObject;
  /** A second container in it at the same time is not possible. */
  readonly alone?: true;
}

const ranges = [
  [{ subnet: "10.88.0.0/24", rangeStart: "10.88.0.10" }],
  [{ subnet: "fd88::/64", rangeStart: "fd88::10" }],
];
const networks: Readonly<Record<string, Network>> = {
  "bridge, portmap, bandwidth, firewall, tuning, sbr": {
    plugins: (ipam) => [
      { type: "bridge", bridge: "tool0", isDefaultGateway: true, ipMasq: true, hairpinMode: true, ipam },
      { type: "portmap", capabilities: { portMappings: true } },
      { type: "bandwidth", capabilities: { bandwidth: true } },
      { type: "firewall" },
      { type: "tuning", sysctl: { "net.ipv4.conf.eth0.arp_filter": "1" } },
      { type: "sbr", addSourceHints: true },
    ],
    reaches: ["10.88.0.1", "fd88::1"],
    capabilities: {
      portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }],
      bandwidth: { ingressRate: 100_000_000, ingressBurst: 1_000_000 },
    },
  },
  ptp: { plugins: (ipam) => [{ type: "ptp", ipMasq: true, ipam }], reaches: ["10.88.0.1", "fd88::1"] },
  macvlan: {
    plugins: (ipam) => [{ type: "macvlan", master: "uplink", ipam }],
    reaches: outsideAddresses,
    outside: true,
  },
  "host-device": {
    plugins: (ipam) => [{ type: "host-device", device: "uplink", ipam }],
    reaches: outsideAddresses,
    outside: true,
    alone: true,
  },
  "static on a bridge": {
    plugins: () => [
      {
        type: "bridge",
        bridge: "tool1",
        isGateway: true,
        ipam: { type: "static", addresses: [{ address: "10.89.0.5/24", gateway: "10.89.0.1" }] },
      },
    ],
    reaches: ["10.89.0.1"],
    alone: true,
  },
};

if (onFreshHost(import.meta.url)) {
  const folder = new TemporaryFolder("cnitool");
  after(() => folder[Symbol.dispose]());
  for (const name of ["net.d", "var", "pool"]) mkdirSync(folder.join(name));
  const ipam: JsonObject = { type: "host-local", dataDir: folder.join("pool"), ranges };
  await installPlugins(folder.join("bin"));

  /** Its cache is in /var/lib/cni and nowhere else: so it gets a /var/lib of its own. */
  const run = (verb: string, netns: string, capabilities: JsonObject = {}): Promise<CommandResult> => {
    const script = 'mount --bind "$0" /var/lib && exec "$@"';
    const tool = "path" in cnitool ? cnitool.path : "";
    const words = ["--mount", "sh", "-c", script, folder.join("var"), tool, verb, "tool", netns];
    const env = {
      ...process.env,
      NETCONFPATH: folder.join("net.d"),
      CNI_PATH: folder.join("bin"),
      CAP_ARGS: JSON.stringify(capabilities),
    };
    return runCommand("unshare", words, { env, okExitCodes: "any" });
  };
  const succeed = async (...call: Parameters<typeof run>): Promise<string> => {
    const { exitCode, stdout, stderr } = await run(...call);
    assert.equal(exitCode, 0, `${call[0]}: ${stderr.toString()}`);
    return stdout.toString();
  };
  const reserved = (): readonly string[] =>
    readdirSync(folder.join("pool"), { recursive: true, encoding: "utf8" }).filter((name) => /\/(10\.|fd)/.test(name));

  const cell = interop({
    interface: "CNI",
    caller: `cnitool ${goPrograms.cnitool.version.slice(1)}`,
    callee: "Tripod's plugins",
  });
  const skip = "skip" in cnitool ? cnitool.skip : false;

  for (const [name, network] of Object.entries(networks)) {
    test(`${cell} | ${name}: status, add, check, traffic, del, as often as it is asked`, {
      skip,
    }, async () => {
      using uplink = new Uplink();
      const list = { cniVersion: "1.1.0", name: "tool", plugins: network.plugins(ipam) };
      writeFileSync(folder.join("net.d/10-tool.conflist"), JSON.stringify(list));
      using netns = new FreshNetns();
      const before = networkSnapshot();
      const capabilities = network.capabilities ?? {};
      await succeed("status", netns.path);
      await succeed("del", netns.path, capabilities);
      const { ips } = parseResult(JSON.parse(await succeed("add", netns.path, capabilities)), "1.1.0");
      await succeed("check", netns.path, capabilities);
      const to = network.outside === true ? uplink.outside : undefined;
      await exchange({ from: netns.path, to, addresses: network.reaches });
      if (network.alone !== true) {
        using other = new FreshNetns();
        await succeed("add", other.path);
        const addresses = ips.map(({ address }) => address.replace(/\/.*/, ""));
        if (name !== "ptp") await exchange({ from: other.path, to: netns.path, addresses });
        await succeed("del", other.path);
      }
      await succeed("del", netns.path, capabilities);
      await succeed("del", netns.path, capabilities);
      assert.deepEqual(reserved(), []);
      assert.equal(nft("list ruleset"), "");
      // Bridges and forwarding stay; and the kernel sets a device down that changes its namespace.
      const stays = /forwarding|tool[01]|link uplink up/;
      const left = snapshotDifferences(before, networkSnapshot()).filter((line) => !stays.test(line));
      assert.deepEqual(left, []);
    });
  }

  test(`${cell} | gc takes what nobody knows any more, and an error arrives with its reason`, { skip }, async () => {
    const list = {
      cniVersion: "1.1.0",
      name: "tool",
      plugins: [{ type: "bridge", bridge: "tool2", isGateway: true, ipam }],
    };
    writeFileSync(folder.join("net.d/10-tool.conflist"), JSON.stringify(list));
    using netns = new FreshNetns();
    await succeed("add", netns.path);
    const twice = await run("add", netns.path);
    assert.equal(twice.exitCode, 1);
    assert.match(twice.stderr.toString(), /DEL the attachment first/);
    await succeed("gc", netns.path);
    assert.deepEqual(reserved(), []);
    await succeed("del", netns.path);
  });
}
