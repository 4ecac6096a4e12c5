import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { after, test } from "node:test";
import { type CommandResult, runCommand } from "@tripod/base";
import { type JsonObject, parseResult } from "@tripod/cni";
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
import { installPlugins } from "@tripod/plugin-bundle";
import { goProgram, goPrograms, interop } from "@tripod/testing";

const cnitool = goProgram(goPrograms.cnitool);

/** A network, and which addresses a container must reach in it. */
interface Network {
  /** `dir`: a folder for what they keep and read beside the addresses. */
  readonly plugins: (ipam: JsonObject, dir: string) => readonly JsonObject[];
  readonly reaches: readonly string[];
  /** Whose they are: the host's unless told, or the container's own, or beyond the uplink. */
  readonly where?: "inside" | "outside";
  readonly capabilities?: JsonObject;
  /** At these, host and outside reach the container. */
  readonly published?: readonly string[];
  /** "eth0" unless told. */
  readonly ifname?: string;
  /** What this kernel lacks for it. */
  readonly lacks?: string | false;
  /** A second container in it at the same time is not possible. */
  readonly alone?: true;
}

const ranges = [
  [{ subnet: "10.88.0.0/24", rangeStart: "10.88.0.10" }],
  [{ subnet: "fd88::/64", rangeStart: "fd88::10" }],
];
/** The host's addresses on the uplink. */
const uplinkAddresses = ["203.0.113.1", "2001:db8::1"] as const;
/** The port at which exchange() answers. */
const answering = 7007;
const portMappings = uplinkAddresses.flatMap((hostIP) =>
  ["tcp", "udp"].map((protocol) => ({ hostIP, hostPort: answering, containerPort: answering, protocol })),
);

const networks: Readonly<Record<string, Network>> = {
  "bridge, portmap, bandwidth, firewall, tuning": {
    plugins: (ipam) => [
      { type: "bridge", bridge: "tool0", isDefaultGateway: true, ipMasq: true, hairpinMode: true, ipam },
      { type: "portmap", capabilities: { portMappings: true } },
      { type: "bandwidth", capabilities: { bandwidth: true } },
      { type: "firewall" },
      { type: "tuning", sysctl: { "net.ipv4.conf.eth0.arp_filter": "1" } },
    ],
    reaches: ["10.88.0.1", "fd88::1"],
    capabilities: {
      portMappings,
      bandwidth: { ingressRate: 100_000_000, ingressBurst: 1_000_000 },
    },
    published: uplinkAddresses,
  },
  "sbr behind a bridge": {
    plugins: (ipam) => [
      { type: "bridge", bridge: "tool0", isDefaultGateway: true, ipam },
      { type: "sbr", addSourceHints: true },
    ],
    reaches: ["10.88.0.1", "fd88::1"],
  },
  ptp: { plugins: (ipam) => [{ type: "ptp", ipMasq: true, ipam }], reaches: ["10.88.0.1", "fd88::1"] },
  macvlan: {
    plugins: (ipam) => [{ type: "macvlan", master: "uplink", ipam }],
    reaches: outsideAddresses,
    where: "outside",
  },
  "host-device": {
    plugins: (ipam) => [{ type: "host-device", device: "uplink", ipam }],
    reaches: outsideAddresses,
    where: "outside",
    alone: true,
  },
  "static on a bridge": {
    plugins: () => [
      {
        type: "bridge",
        bridge: "tool0",
        isGateway: true,
        ipam: { type: "static", addresses: [{ address: "10.89.0.5/24", gateway: "10.89.0.1" }] },
      },
    ],
    reaches: ["10.89.0.1"],
    alone: true,
  },
  "flannel on a bridge": {
    plugins: ({ dataDir }, dir) => {
      const subnetFile = `${dir}/subnet.env`;
      writeFileSync(
        subnetFile,
        "FLANNEL_NETWORK=10.90.0.0/16\nFLANNEL_SUBNET=10.90.1.1/24\nFLANNEL_MTU=1400\nFLANNEL_IPMASQ=true\n",
      );
      const delegate = { bridge: "tool0", isDefaultGateway: true };
      return [{ type: "flannel", subnetFile, dataDir: `${dir}/flannel`, ipam: { dataDir: dataDir ?? "" }, delegate }];
    },
    reaches: ["10.90.1.1"],
  },
  tap: {
    // No frame passes, and the kernel waits with IPv6, until a program opens the device: tests of the plugin itself do.
    plugins: (ipam) => [{ type: "tap", ipam }],
    reaches: ["10.88.0.10"],
    where: "inside",
    alone: true,
    lacks: lacksLinkKind("tap"),
  },
  loopback: {
    plugins: () => [{ type: "loopback" }],
    reaches: ["127.0.0.1", "::1"],
    where: "inside",
    ifname: "lo",
    alone: true,
  },
};

function setLoopback(netns: string, changes: { readonly up: boolean }): void {
  using there = openRtnetlink({ netns });
  there.linkSet("lo", changes);
}

if (onFreshHost(import.meta.url)) {
  const folder = new TemporaryFolder("cnitool");
  after(() => folder[Symbol.dispose]());
  for (const name of ["net.d", "var", "pool", "more"]) mkdirSync(folder.join(name));
  const ipam: JsonObject = { type: "host-local", dataDir: folder.join("pool"), ranges };
  await installPlugins(folder.join("bin"));

  /** Its cache is in /var/lib/cni and nowhere else: so it gets a /var/lib of its own. */
  const run = (
    verb: string,
    netns: string,
    { capabilities = {}, ifname = "eth0" }: Pick<Network, "capabilities" | "ifname"> = {},
  ): Promise<CommandResult> => {
    const script = 'mount --bind "$0" /var/lib && exec "$@"';
    const tool = "path" in cnitool ? cnitool.path : "";
    const words = ["--mount", "sh", "-c", script, folder.join("var"), tool, verb, "tool", netns];
    const env = {
      ...process.env,
      NETCONFPATH: folder.join("net.d"),
      CNI_PATH: folder.join("bin"),
      CNI_IFNAME: ifname,
      CAP_ARGS: JSON.stringify(capabilities),
    };
    return runCommand("unshare", words, { env, okExitCodes: "any" });
  };
  const succeed = async (...call: Parameters<typeof run>): Promise<string> => {
    const { exitCode, stdout, stderr } = await run(...call);
    assert.equal(exitCode, 0, `${call[0]}: ${stderr.toString()}`);
    return stdout.toString();
  };
  /** What the plugins have on record, and cnitool in its cache. */
  const kept = (): readonly string[] =>
    ["pool", "more/flannel", "var/cni/results"]
      .map((dir) => folder.join(dir))
      .flatMap((dir) => (existsSync(dir) ? readdirSync(dir, { recursive: true, encoding: "utf8" }) : []))
      .filter((path) => /^cnitool-|^tool-|\/(10\.|fd)/.test(path));

  const cell = interop({
    interface: "CNI",
    caller: `cnitool ${goPrograms.cnitool.version.slice(1)}`,
    callee: "Tripod's plugins",
  });
  const skip = "skip" in cnitool ? cnitool.skip : false;

  for (const [name, network] of Object.entries(networks)) {
    const { reaches, where, alone, published } = network;
    test(`${cell} | ${name}: status, add, check, traffic, del, as often as it is asked`, {
      skip: skip === false ? (network.lacks ?? false) : skip,
    }, async () => {
      using uplink = new Uplink(published === undefined ? {} : { addresses: ["203.0.113.2/24", "2001:db8::2/64"] });
      using host = openRtnetlink();
      const { index } = host.linkByName("uplink");
      for (const address of published ?? [])
        host.addressAdd({ index, address: `${address}/${address.includes(":") ? 64 : 24}`, noDad: true });
      const list = { cniVersion: "1.1.0", name: "tool", plugins: network.plugins(ipam, folder.join("more")) };
      writeFileSync(folder.join("net.d/10-tool.conflist"), JSON.stringify(list));
      using netns = new FreshNetns();
      if (network.ifname === "lo") setLoopback(netns.path, { up: false });
      const before = networkSnapshot();
      const empty = networkSnapshot({ netns: netns.path });
      await using stack = new AsyncDisposableStack();
      // After a failure too: reservations are one network's for all.
      stack.defer(async () => {
        await run("del", netns.path, network);
        host.linkDelete("tool0");
      });
      await succeed("status", netns.path);
      await succeed("del", netns.path, network);
      const { ips } = parseResult(JSON.parse(await succeed("add", netns.path, network)), "1.1.0");
      await succeed("check", netns.path, network);
      const to = where === "inside" ? netns.path : where === "outside" ? uplink.outside : undefined;
      await exchange({ from: netns.path, to, addresses: reaches });
      for (const from of published === undefined ? [] : [undefined, uplink.outside])
        await exchange({ from, to: netns.path, addresses: published ?? [] });
      if (alone !== true) {
        using other = new FreshNetns();
        await succeed("add", other.path);
        const addresses = ips.map(({ address }) => address.replace(/\/.*/, ""));
        if (name !== "ptp") await exchange({ from: other.path, to: netns.path, addresses });
        await succeed("del", other.path);
        await succeed("check", netns.path, network);
      }
      await succeed("del", netns.path, network);
      await succeed("del", netns.path, network);
      assert.notEqual((await run("check", netns.path, network)).exitCode, 0);
      assert.deepEqual(kept(), []);
      assert.equal(nft("list ruleset"), "");
      // The bridge and forwarding stay; and the kernel sets a device down that changes its namespace.
      const stays = /forwarding|tool0|link uplink up/;
      const left = snapshotDifferences(before, networkSnapshot()).filter((line) => !stays.test(line));
      assert.deepEqual(left, []);
      // IPv6 that was switched on for the loopback interface stays on.
      const inside = snapshotDifferences(empty, networkSnapshot({ netns: netns.path }));
      assert.deepEqual(
        inside.filter((line) => !line.includes("conf/lo/")),
        [],
      );
    });
  }

  test(`${cell} | gc takes what nobody knows any more, and an error arrives with its reason`, { skip }, async () => {
    const plugins = [
      { type: "bridge", bridge: "tool0", isGateway: true, ipMasq: true, ipam },
      { type: "portmap", capabilities: { portMappings: true } },
    ];
    writeFileSync(
      folder.join("net.d/10-tool.conflist"),
      JSON.stringify({ cniVersion: "1.1.0", name: "tool", plugins }),
    );
    using netns = new FreshNetns();
    const options = { capabilities: { portMappings } };
    await succeed("add", netns.path, options);
    const twice = await run("add", netns.path, options);
    assert.equal(twice.exitCode, 1);
    assert.match(twice.stderr.toString(), /DEL the attachment first/);
    await succeed("check", netns.path, options);
    await succeed("gc", netns.path);
    assert.deepEqual(kept(), []);
    assert.equal(nft("list ruleset"), "");
    {
      using there = openRtnetlink({ netns: netns.path });
      assert.deepEqual(
        there.links().map(({ name }) => name),
        ["lo"],
      );
    }
    await succeed("gc", netns.path);
    await succeed("del", netns.path, options);
  });
}
