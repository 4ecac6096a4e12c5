import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { TripodError } from "@tripod/base";
import { definePlugin, type JsonObject } from "@tripod/cni";
import { onFreshHost, Uplink } from "@tripod/cni/testing";
import { nft, openRtnetlink } from "@tripod/linux";
import { FreshNetns } from "@tripod/linux/testing";
import { ownPlugins } from "./plugins.ts";
import { PodNetwork } from "./testing/pod-network.ts";

const capabilityArgs = { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }] };

/** What one attachment may leave behind on the host and in the address pool. */
function leftovers(network: PodNetwork): { links: string[]; rules: string; addresses: string[]; cached: string[] } {
  using host = openRtnetlink();
  const addresses = readdirSync(network.dataDir, { recursive: true, encoding: "utf8" }).filter((path) =>
    /\/(10\.77|fd77)/.test(path),
  );
  const cache = network.folder.join("cache", "results");
  return {
    links: host.links().flatMap(({ name, kind }) => (kind === "veth" ? [name] : [])),
    rules: nft("list ruleset"),
    addresses,
    cached: readdirSync(cache),
  };
}
const nothing = { links: [], rules: "", addresses: [], cached: [] };

if (process.argv[2] === "child") {
  // The child of the crash test: ADD and DEL with the folder of the parent, killed at some failpoint.
  const { CniRuntime } = await import("@tripod/cni");
  const { silentLogger } = await import("@tripod/base");
  const [, , , folder = "", netns = ""] = process.argv;
  await using runtime = new CniRuntime({
    confDir: `${folder}/net.d`,
    binDirs: [`${folder}/bin`],
    cacheDir: `${folder}/cache`,
    plugins: ownPlugins,
    log: silentLogger,
  });
  await runtime.load();
  await runtime.add({ containerId: "victim", netns, capabilityArgs });
  await runtime.del({ containerId: "victim", netns });
} else if (onFreshHost(import.meta.url)) {
  test("DEL leaves nothing when the namespace has gone before (upstream #810)", async () => {
    await using network = await PodNetwork.start();
    {
      using netns = new FreshNetns();
      await network.runtime.add({ containerId: "a", netns: netns.path, capabilityArgs });
      assert.match(nft("list ruleset"), /masquerade/);
    }
    await network.runtime.del({ containerId: "a" });
    assert.deepEqual(leftovers(network), nothing);
  });

  test("rules that are the same for all containers stay as they are, and are put up again where somebody has changed them", async () => {
    await using network = await PodNetwork.start();
    using a = new FreshNetns();
    using b = new FreshNetns();
    using c = new FreshNetns();
    const fixed = (): string[] =>
      nft("list ruleset", { handles: true, stateless: true })
        .split("\n")
        .filter((line) => line.includes(".fixed-"));
    const portMappings = (hostPort: number) => ({ portMappings: [{ hostPort, containerPort: 80, protocol: "tcp" }] });
    await network.runtime.add({ containerId: "a", netns: a.path, capabilityArgs: portMappings(8080) });
    const first = fixed();
    // Masquerade; of portmap entries, the two maps behind them, who is masqueraded, and in IPv4 the guard.
    assert.equal(first.length, 3 + 2 * (2 + 2 + 2) + 1);
    await network.runtime.add({ containerId: "b", netns: b.path, capabilityArgs: portMappings(8081) });
    assert.deepEqual(fixed(), first);
    nft("flush chain ip cni_hostport_maps output; add rule inet cni_plugins_masquerade postrouting accept");
    await network.runtime.add({ containerId: "c", netns: c.path, capabilityArgs: portMappings(8082) });
    const text = (lines: readonly string[]): string[] => lines.map((line) => line.replace(/ # handle \d+/, ""));
    assert.deepEqual(text(fixed()), text(first));
    assert.doesNotMatch(nft("list chain inet cni_plugins_masquerade postrouting"), /\baccept$/m);
    for (const containerId of ["a", "b", "c"]) await network.runtime.del({ containerId });
    assert.deepEqual(leftovers(network), nothing);
  });

  test("portmap's DEL does not need the port mappings again", async () => {
    await using network = await PodNetwork.start();
    using netns = new FreshNetns();
    await network.runtime.add({ containerId: "a", netns: netns.path, capabilityArgs });
    await network.runtime.del({ containerId: "a", netns: netns.path, capabilityArgs: {} });
    assert.deepEqual(leftovers(network), nothing);
  });

  test("a plugin that fails on DEL keeps no other from its work, and DEL can be asked again", async () => {
    let failing = true;
    const stubborn = definePlugin({
      name: "stubborn",
      add: (call) => call.prevResult ?? { cniVersion: call.cniVersion, interfaces: [], ips: [], routes: [], dns: {} },
      del() {
        if (failing) throw new Error("not today");
      },
    });
    const conflist = (dataDir: string): JsonObject => ({
      cniVersion: "1.1.0",
      name: "net",
      plugins: [
        {
          type: "bridge",
          bridge: "br-test",
          isDefaultGateway: true,
          ipMasq: true,
          ipam: { type: "host-local", dataDir, ranges: [[{ subnet: "10.77.0.0/24" }]] },
        },
        { type: "stubborn" },
      ],
    });
    await using network = await PodNetwork.start(conflist, {
      plugins: new Map([...ownPlugins, ["stubborn", stubborn]]),
    });
    using netns = new FreshNetns();
    await network.runtime.add({ containerId: "a", netns: netns.path });
    await assert.rejects(network.runtime.del({ containerId: "a", netns: netns.path }), (error: unknown) => {
      assert.ok(error instanceof AggregateError);
      assert.match(String(error.errors[0]), /stubborn: not today/);
      return true;
    });
    const after = leftovers(network);
    assert.deepEqual([after.links, after.rules, after.addresses], [[], "", []]);
    assert.equal(after.cached.length, 1);
    failing = false;
    await network.runtime.del({ containerId: "a", netns: netns.path });
    assert.deepEqual(leftovers(network), nothing);
  });

  test("GC takes away what no record knows any more, and leaves what is valid working", async () => {
    await using network = await PodNetwork.start();
    using kept = new FreshNetns();
    using lost = new FreshNetns();
    await network.runtime.add({ containerId: "kept", netns: kept.path, capabilityArgs });
    await network.runtime.add({
      containerId: "lost",
      netns: lost.path,
      capabilityArgs: { portMappings: [{ hostPort: 9090, containerPort: 90, protocol: "tcp" }] },
    });
    await network.runtime.add({ containerId: "known", netns: lost.path, ifname: "eth1" });
    rmSync(network.folder.join("cache", "results", "br-test-lost-eth0"));
    await network.runtime.gc({ validAttachments: () => [{ containerId: "kept", ifname: "eth0" }] });
    await network.runtime.check({ containerId: "kept" });
    const rules = nft("list ruleset");
    assert.match(rules, /8080/);
    assert.doesNotMatch(rules, /9090|lost|known/);
    const left = leftovers(network);
    assert.equal(left.links.length, 1);
    assert.equal(left.addresses.filter((path) => !path.includes(".tripod-index")).length, 2);
    await network.runtime.del({ containerId: "kept", netns: kept.path });
    assert.deepEqual(leftovers(network), nothing);
  });

  test("a failed ADD takes back what it had made, and tells why", async () => {
    await using network = await PodNetwork.start();
    using netns = new FreshNetns();
    {
      using there = openRtnetlink({ netns: netns.path });
      there.linkAdd({ kind: "bridge", name: "eth0" });
    }
    await assert.rejects(network.runtime.add({ containerId: "a", netns: netns.path }), {
      code: "already-exists",
      message: /eth0 exists in/,
    });
    await network.runtime.del({ containerId: "a", netns: netns.path });
    assert.deepEqual(leftovers(network), nothing);
  });

  test("an interface that was made goes when IPAM fails, whatever that says", async () => {
    const failing = definePlugin({
      name: "failing",
      add: () => Promise.reject(new TripodError("already-exists", "ipam: there is such a one")),
      del() {},
    });
    const plugins = new Map([...ownPlugins, [failing.name, failing]]);
    using uplink = new Uplink();
    assert.ok(uplink.outside !== "");
    for (const plugin of [
      { type: "bridge", bridge: "br-test" },
      { type: "ptp" },
      { type: "macvlan", master: "uplink" },
    ]) {
      const conflist = { cniVersion: "1.1.0", name: "net", plugins: [{ ...plugin, ipam: { type: failing.name } }] };
      await using network = await PodNetwork.start(() => conflist, { plugins });
      using netns = new FreshNetns();
      using host = openRtnetlink();
      using there = openRtnetlink({ netns: netns.path });
      await assert.rejects(network.runtime.add({ containerId: "a", netns: netns.path }), { message: /such a one/ });
      const links = [...host.links(), ...there.links()].map(({ name }) => name);
      assert.deepEqual(
        links.filter((name) => !["lo", "uplink", "br-test"].includes(name)),
        [],
        plugin.type,
      );
    }
  });

  test("a second ADD of an attachment is refused and leaves the first alone", async () => {
    await using network = await PodNetwork.start();
    using netns = new FreshNetns();
    await network.runtime.add({ containerId: "a", netns: netns.path });
    await assert.rejects(network.runtime.add({ containerId: "a", netns: netns.path }), { code: "already-exists" });
    await network.runtime.check({ containerId: "a" });
    await network.runtime.del({ containerId: "a", netns: netns.path });
    assert.deepEqual(leftovers(network), nothing);
  });

  const points = [
    "cni.add.recorded",
    "host-local.add.reserved@2",
    "bridge.plugged",
    "bridge.ipam-added",
    "bridge.add-link@1",
    "bridge.add-link@2",
    "bridge.set-link@1",
    "bridge.add-address@3",
    "bridge.connected",
    "bridge.masqueraded",
    "portmap.added",
    "cni.add.chain-done",
    "bridge.del.rules-gone",
    "bridge.del.links-gone",
    "host-local.release.unlinked@1",
    "cni.del.chain-done",
  ];
  for (const point of points) {
    test(`a kill at ${point} leaves nothing that DEL does not take away`, async () => {
      await using network = await PodNetwork.start();
      {
        using netns = new FreshNetns();
        const child = spawnSync(
          process.execPath,
          [fileURLToPath(import.meta.url), "child", network.folder.path, netns.path],
          {
            env: { ...process.env, TRIPOD_FAILPOINT: point, NODE_TEST_CONTEXT: undefined },
            encoding: "utf8",
          },
        );
        assert.equal(child.signal, "SIGKILL", child.stderr);
        if (points.indexOf(point) % 2 === 0) await network.runtime.del({ containerId: "victim", netns: netns.path });
      }
      // Every other time the namespace is gone before; and all of it twice.
      await network.runtime.del({ containerId: "victim" });
      assert.deepEqual(leftovers(network), nothing);
    });
  }
}
