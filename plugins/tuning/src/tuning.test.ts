import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import type { JsonObject } from "@tripod/cni/sdk";
import { noUpstream, onFreshHost, ownCallee, testPluginContract, upstreamCallee } from "@tripod/cni/testing";
import { type Link, openRtnetlink, readSysctl } from "@tripod/linux";
import { FreshNetns, TemporaryFolder } from "@tripod/linux/testing";
import { interop, peer } from "@tripod/testing";
import { checkAllowed } from "./sysctl-allowlist.ts";
import { tuning } from "./tuning.ts";
import { sysctlName } from "./tuning-config.ts";

const named = { cniVersion: "1.0.0", name: "net", type: "tuning" };

const configuration = (dataDir: string, netns: string, more: JsonObject = {}): JsonObject => ({
  ...named,
  dataDir,
  prevResult: {
    cniVersion: "1.0.0",
    interfaces: [{ name: "eth0", mac: "02:00:00:00:00:01", sandbox: netns }],
    ips: [{ interface: 0, address: "10.1.0.5/24" }],
  },
  ...more,
});

const everything: JsonObject = {
  sysctl: { "net.ipv4.conf.IFNAME.arp_filter": "1", "net.ipv4.ip_local_port_range": "20000 30000" },
  mac: "02:00:00:00:00:09",
  mtu: 1300,
  promisc: true,
  allmulti: true,
  txQLen: 77,
};

function makeInterface(netns: string): void {
  using there = openRtnetlink({ netns });
  there.linkAdd({ kind: "veth", name: "eth0", mac: "02:00:00:00:00:01", peer: { name: "other" } });
}

/** What the plugin can change, as it is. */
function found(netns: string): object {
  using there = openRtnetlink({ netns });
  const { mac, mtu, promiscuous, allMulticast, txQueueLength }: Link = there.linkByName("eth0");
  const arpFilter = readSysctl("net.ipv4.conf.eth0.arp_filter", { net: netns });
  const ports = readSysctl("net.ipv4.ip_local_port_range", { net: netns });
  return { mac, mtu, promiscuous, allMulticast, txQueueLength, arpFilter, ports };
}

const tuned = {
  mac: "02:00:00:00:00:09",
  mtu: 1300,
  promiscuous: true,
  allMulticast: true,
  txQueueLength: 77,
  arpFilter: "1",
  ports: "20000\t30000",
};

const own = ownCallee(tuning);

if (process.argv[2] === "add") {
  // The child of the crash test: one ADD, in the course of which a failpoint ends the process.
  const [dataDir = "", netns = ""] = process.argv.slice(3);
  await own.call("ADD", configuration(dataDir, netns, everything), { netns });
} else if (onFreshHost(import.meta.url)) {
  const folder = new TemporaryFolder("tuning");
  test.after(() => folder[Symbol.dispose]());
  let count = 0;
  const fresh = (): string => folder.join(String((count += 1)));

  const { prevResult } = configuration("", "/run/netns/a");
  testPluginContract({
    plugin: tuning,
    config: { dataDir: folder.join("contract"), prevResult: prevResult ?? null, ...everything },
    prepare: makeInterface,
  });

  test("tuning: everything is set, told in the result, checked, and as it was after DEL", async () => {
    using netns = new FreshNetns();
    makeInterface(netns.path);
    const dataDir = fresh();
    const before = found(netns.path);
    const stdin = configuration(dataDir, netns.path, everything);
    const result = await own.call("ADD", stdin, { netns: netns.path });
    assert.deepEqual(result.interfaces, [{ name: "eth0", mac: "02:00:00:00:00:09", sandbox: netns.path }]);
    assert.deepEqual(found(netns.path), tuned);
    const late = { ...stdin, prevResult: result };
    await own.call("CHECK", late, { netns: netns.path });
    {
      using there = openRtnetlink({ netns: netns.path });
      there.linkSet("eth0", { mtu: 1400 });
    }
    await assert.rejects(own.call("CHECK", late, { netns: netns.path }), {
      cniCode: 3,
      message: /mtu of eth0 is 1400/,
    });
    for (let time = 0; time < 2; time += 1) await own.call("DEL", late, { netns: netns.path });
    assert.deepEqual(found(netns.path), before);
    assert.deepEqual(readdirSync(dataDir), []);
  });

  test("tuning: DEL without namespace takes the record away, and GC those of the network that nobody has", async () => {
    const dataDir = fresh();
    using netns = new FreshNetns();
    makeInterface(netns.path);
    for (const containerId of ["a", "b", "c"])
      await own.call("ADD", configuration(dataDir, netns.path, { mtu: 1400 }), { netns: netns.path, containerId });
    await own.call("ADD", configuration(dataDir, netns.path, { mtu: 1400, name: "other" }), {
      netns: netns.path,
      containerId: "d",
    });
    await own.call("DEL", configuration(dataDir, ""), { containerId: "a" });
    const valid = [{ containerID: "b", ifname: "eth0" }];
    await own.call("GC", { ...configuration(dataDir, ""), cniVersion: "1.1.0", "cni.dev/valid-attachments": valid });
    assert.deepEqual(readdirSync(dataDir).toSorted(), ["b_eth0.json", "d_eth0.json"]);
  });

  test("tuning: args.cni goes before the capability, that before CNI_ARGS, that before the key", async () => {
    const macs: JsonObject[] = [{ mac: "02:00:00:00:00:11" }, { runtimeConfig: { mac: "02:00:00:00:00:12" } }];
    const cni = { mac: "02:00:00:00:00:13", mtu: 1222, sysctl: { "net/ipv4/conf/IFNAME/arp_filter": "2" } };
    const rows: [JsonObject, string, string][] = [
      [{ ...macs[0] }, "", "02:00:00:00:00:11"],
      [{ ...macs[0] }, "MAC=02:00:00:00:00:1A", "02:00:00:00:00:1a"],
      [{ ...macs[0], ...macs[1] }, "MAC=02:00:00:00:00:1a", "02:00:00:00:00:12"],
      [{ ...macs[0], ...macs[1], args: { cni } }, "", "02:00:00:00:00:13"],
    ];
    for (const [more, args, wanted] of rows) {
      using netns = new FreshNetns();
      makeInterface(netns.path);
      const stdin = configuration(fresh(), netns.path, {
        mtu: 1500,
        sysctl: { "net.ipv4.conf.IFNAME.arp_filter": "1" },
        ...more,
      });
      await own.call("ADD", stdin, { netns: netns.path, args });
      using there = openRtnetlink({ netns: netns.path });
      assert.equal(there.linkByName("eth0").mac, wanted);
      assert.equal(there.linkByName("eth0").mtu, more.args === undefined ? 1500 : 1222);
      assert.equal(
        readSysctl("net.ipv4.conf.eth0.arp_filter", { net: netns.path }),
        more.args === undefined ? "1" : "2",
      );
    }
  });

  test("tuning: what is wrong is refused before anything is changed", async () => {
    const rows: [JsonObject, RegExp][] = [
      [{ sysctl: { "kernel.shmmax": "1" } }, /kernel\.shmmax" is not one of net/],
      [{ sysctl: { "net/../kernel/shmmax": "1" } }, /not the name of a kernel parameter/],
      [{ sysctl: { "net.core.somaxconn": 5 } }, /must be a string/],
      [{ sysctl: { "net.core.somaxconn": "5", "net/core/somaxconn": "6" } }, /given twice/],
      [{ sysctl: { "net.core.nonsense": "5" } }, /no such parameter/],
      [{ mac: "nonsense" }, /nonsense/],
      [{ mtu: "1400" }, /mtu/],
      [{ prevResult: null, mtu: 1400 }, /prevResult is missing/],
    ];
    using netns = new FreshNetns();
    makeInterface(netns.path);
    const before = found(netns.path);
    for (const [more, why] of rows) {
      const dataDir = fresh();
      const stdin = configuration(dataDir, netns.path, { promisc: true, ...more });
      await assert.rejects(own.call("ADD", stdin, { netns: netns.path }), { message: why });
      assert.ok(!existsSync(dataDir) || readdirSync(dataDir).length === 0);
    }
    assert.deepEqual(found(netns.path), before);
    assert.equal(sysctlName("net.ipv4.conf.eth0/5.forwarding", "x"), "net/ipv4/conf/eth0.5/forwarding");
    assert.equal(sysctlName("net.ipv4.conf.IFNAME.forwarding", "eth0.5"), "net/ipv4/conf/eth0.5/forwarding");
  });

  test("tuning: an allowlist's lines are patterns of what may be set", () => {
    const file = folder.join("allowlist.conf");
    checkAllowed(["net.core.somaxconn"], file);
    writeFileSync(file, "^net\\.ipv4\\.conf\\.[^.]*\\.arp_filter$\n\nsomaxconn\n");
    checkAllowed(["net.ipv4.conf.eth0.arp_filter", "net.core.somaxconn"], file);
    assert.throws(() => checkAllowed(["net.ipv4.ip_forward"], file), {
      code: "permission-denied",
      message: /net\.ipv4\.ip_forward is not allowed by/,
    });
    writeFileSync(file, "(\n");
    assert.throws(() => checkAllowed(["net.ipv4.ip_forward"], file), { code: "invalid" });
  });

  test("tuning: after a kill at any step, ADD and DEL find what was there before", async () => {
    for (const point of ["tuning.recorded", "tuning.sysctls-set", "tuning.link-set"]) {
      using netns = new FreshNetns();
      makeInterface(netns.path);
      const dataDir = fresh();
      const before = found(netns.path);
      const child = spawnSync(process.execPath, [fileURLToPath(import.meta.url), "add", dataDir, netns.path], {
        env: { ...process.env, TRIPOD_FAILPOINT: point, NODE_TEST_CONTEXT: undefined },
        encoding: "utf8",
      });
      assert.equal(child.signal, "SIGKILL", `${point}: ${child.stderr}`);
      const stdin = configuration(dataDir, netns.path, everything);
      await own.call("ADD", stdin, { netns: netns.path });
      assert.deepEqual(found(netns.path), tuned);
      await own.call("DEL", stdin, { netns: netns.path });
      assert.deepEqual(found(netns.path), before, point);
    }
  });

  const debian = peer("upstream's tuning", "containernetworking-plugins");
  const cell = interop({ interface: "CNI", caller: debian, callee: "Tripod's tuning" });
  test(`${cell} | the same inputs have the same effects, and each takes back what the other did`, {
    skip: noUpstream("tuning"),
  }, async () => {
    // Debian's knows no queue lengths, and no IFNAME on CHECK.
    const { sysctl: _sysctl, txQLen: _length, ...link } = everything;
    const upstream = upstreamCallee("tuning");
    const outcomes = [];
    for (const [adds, deletes] of [
      [own, upstream],
      [upstream, own],
    ] as const) {
      using netns = new FreshNetns();
      makeInterface(netns.path);
      const dataDir = fresh();
      const before = found(netns.path);
      const stdin = configuration(dataDir, "/run/netns/a", {
        ...link,
        sysctl: { "net.ipv4.conf.eth0.arp_filter": "1" },
      });
      const call = { netns: netns.path };
      const result = await adds.call("ADD", stdin, call);
      outcomes.push({ result, found: found(netns.path) });
      for (const each of [own, upstream]) await each.call("CHECK", { ...stdin, prevResult: result }, call);
      await deletes.call("DEL", { ...stdin, prevResult: result }, call);
      // Upstream's leaves kernel parameters as they were set.
      assert.deepEqual({ ...found(netns.path), arpFilter: "0" }, before);
      assert.deepEqual(readdirSync(dataDir), []);
    }
    const [ours, theirs] = outcomes;
    assert.deepEqual(ours?.found, theirs?.found);
    const { cniVersion: _ours, ...oursRest } = ours?.result ?? {};
    const { cniVersion: _theirs, ...theirsRest } = theirs?.result ?? {};
    assert.deepEqual({ ...oursRest, dns: {} }, { dns: {}, ...theirsRest });
  });
}
