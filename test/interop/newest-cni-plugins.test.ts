import assert from "node:assert/strict";
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { silentLogger } from "@tripod/base";
import { CniRuntime, type JsonObject } from "@tripod/cni";
import {
  exchange,
  networkSnapshot,
  onFreshHost,
  outsideAddresses,
  snapshotDifferences,
  Uplink,
} from "@tripod/cni/testing";
import { nft, openRtnetlink } from "@tripod/linux";
import { FreshNetns, TemporaryFolder } from "@tripod/linux/testing";
import { goProgram, goPrograms, interop } from "@tripod/testing";

const { bridge, ptp, macvlan, hostLocal, portmap, bandwidth, tuning } = goPrograms;
const programs = [bridge, ptp, macvlan, hostLocal, portmap, bandwidth, tuning].map((program) => ({
  name: program.command.split("/").at(-1) ?? "",
  built: goProgram(program),
}));
const [skip = false] = programs.flatMap(({ built }) => ("skip" in built ? [built.skip] : []));

interface Network {
  readonly plugins: (ipam: JsonObject) => readonly JsonObject[];
  readonly reaches: readonly string[];
  /** They are not the host's, but beyond the uplink. */
  readonly outside?: true;
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
    outside: true,
  },
};

if (onFreshHost(import.meta.url)) {
  const cell = interop({
    interface: "CNI",
    caller: "Tripod's runtime",
    callee: `upstream's plugins ${bridge.version.slice(1)}`,
  });
  for (const [name, { plugins, reaches, outside }] of Object.entries(networks)) {
    test(`${cell} | ${name}: status, add, check, traffic, gc, del`, { skip }, async () => {
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
      const before = networkSnapshot();
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
      await runtime.check({ containerId: "a" });
      await exchange({ from: netns.path, to: outside === true ? uplink.outside : undefined, addresses: reaches });
      await runtime.gc({ validAttachments: [{ containerId: "a", ifname: "eth0" }] });
      await runtime.check({ containerId: "a" });
      {
        using there = openRtnetlink({ netns: netns.path });
        there.addressDelete({ index: there.linkByName("eth0").index, address: "10.88.0.10/24" });
      }
      await assert.rejects(runtime.check({ containerId: "a" }), { message: /10\.88\.0\.10/ });
      // Its GC does nothing; the runtime's DEL of what it has on record is what takes it away.
      await runtime.gc({ validAttachments: [] });
      await runtime.del({ containerId: "a" });
      assert.deepEqual(
        readdirSync(folder.join("pool/newest")).filter((file) => /^(10\.|fd)/.test(file)),
        [],
      );
      assert.doesNotMatch(nft("list ruleset"), /8080|10\.88\.0\.10/);
      const left = snapshotDifferences(before, networkSnapshot()).filter((line) => !/forwarding|new0/.test(line));
      assert.deepEqual(left, []);
    });
  }
}
