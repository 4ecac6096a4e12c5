import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createServer, type Server } from "node:net";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import type { JsonObject } from "@tripod/cni/sdk";
import { noUpstream, onFreshHost, ownCallee, testPluginContract, upstreamCallee } from "@tripod/cni/testing";
import { connectInNetns, inNetns, openRtnetlink } from "@tripod/linux";
import { FreshNetns } from "@tripod/linux/testing";
import { interop, peer } from "@tripod/testing";
import { bandwidth } from "./bandwidth.ts";

/** 8 Mbit/s is 1,000,000 bytes a second; 256,000 bits are 32,000 bytes at once. */
const limits: JsonObject = {
  ingressRate: 8_000_000,
  ingressBurst: 256_000,
  egressRate: 8_000_000,
  egressBurst: 256_000,
};

const prevResult = (netns: string, host = "host-a"): JsonObject => ({
  cniVersion: "1.0.0",
  interfaces: [{ name: host }, { name: "eth0", sandbox: netns }],
  ips: [{ interface: 1, address: "10.9.0.2/24" }],
});

const configuration = (netns: string, more: JsonObject = {}): JsonObject => ({
  cniVersion: "1.0.0",
  name: "net",
  type: "bandwidth",
  prevResult: prevResult(netns),
  ...more,
});

/** What a plugin before it would have made: a veth, with addresses on both ends. */
function connectPod(netns: string, name = "host-a", ifname = "eth0"): void {
  using host = openRtnetlink();
  using there = openRtnetlink({ netns });
  host.linkAdd({ kind: "veth", name, up: true, peer: { name: ifname, netns, up: true } });
  host.addressAdd({ index: host.linkByName(name).index, address: "10.9.0.1/24" });
  there.addressAdd({ index: there.linkByName(ifname).index, address: "10.9.0.2/24" });
}

/** Deletes the links of a test now: the kernel would do it some time after the namespace has gone. */
function deleteLinks(): void {
  using host = openRtnetlink();
  for (const { name, loopback } of host.links()) if (!loopback) host.linkDelete(name);
}

const hostLinks = (): string[] => {
  using host = openRtnetlink();
  return host.links().map(({ name }) => name);
};

/** What is on the host's interfaces: kinds of qdiscs, and buckets. */
function buckets(): object[] {
  using host = openRtnetlink();
  return host
    .links()
    .filter(({ loopback }) => !loopback)
    .map(({ index, name, kind, mtu }) => ({
      name,
      kind,
      mtu,
      qdiscs: host.qdiscs(index).map(({ kind: qdisc, tokenBucket }) => ({ kind: qdisc, tokenBucket })),
    }));
}

/** Sends `size` bytes from one namespace to a server in another; seconds until the last has come. */
async function transfer(
  from: string | undefined,
  { to, host, size }: { readonly to: string | undefined; readonly host: string; readonly size: number },
): Promise<number> {
  const done = Promise.withResolvers<number>();
  const server: Server = createServer((socket) => {
    let got = 0;
    socket.on("data", (chunk) => {
      got += chunk.length;
      if (got === size) done.resolve(performance.now());
    });
    socket.on("error", done.reject);
  });
  inNetns(to, () => server.listen(7100));
  if (!server.listening) await new Promise((resolve) => server.once("listening", resolve));
  const socket = await connectInNetns(from, { host, port: 7100, signal: AbortSignal.timeout(60_000) });
  const start = performance.now();
  socket.end(Buffer.alloc(size));
  const end = await done.promise;
  socket.destroy();
  await new Promise((resolve) => server.close(resolve));
  return (end - start) / 1000;
}

const own = ownCallee(bandwidth);

if (process.argv[2] === "add") {
  // The child of the crash test: one ADD, in the course of which a failpoint ends the process.
  const netns = process.argv[3] ?? "";
  await own.call("ADD", configuration(netns, limits), { netns });
} else if (onFreshHost(import.meta.url)) {
  test.afterEach(deleteLinks);

  let pods = 0;
  testPluginContract({
    plugin: bandwidth,
    config: { prevResult: prevResult("/run/netns/a"), ...limits },
    prepare: (netns) => connectPod(netns, `host-${(pods += 1)}`),
  });

  test("bandwidth: what goes to the container and what comes from it is held at the rate, and not after DEL", async () => {
    using netns = new FreshNetns();
    connectPod(netns.path);
    const stdin = configuration(netns.path, limits);
    const result = await own.call("ADD", stdin, { netns: netns.path });
    const late = { ...stdin, prevResult: result };
    await own.call("CHECK", late, { netns: netns.path });
    // 300,000 bytes less the burst take 0.268 s at that rate, and headers make it more: a tenth is left for clocks.
    const size = 300_000;
    const least = ((size - 32_000) / 1_000_000) * 0.9;
    const inwards = await transfer(undefined, { to: netns.path, host: "10.9.0.2", size });
    const outwards = await transfer(netns.path, { to: undefined, host: "10.9.0.1", size });
    assert.ok(inwards > least, `to the container: ${size} bytes in ${inwards} s`);
    assert.ok(outwards > least, `from the container: ${size} bytes in ${outwards} s`);
    for (let time = 0; time < 2; time += 1) await own.call("DEL", late, { netns: netns.path });
    assert.deepEqual(hostLinks(), ["lo", "host-a"]);
    assert.ok(!JSON.stringify(buckets()).match(/tbf|ingress/));
    await transfer(netns.path, { to: undefined, host: "10.9.0.1", size: 10_000_000 });
  });

  test("bandwidth: the capability counts where the configuration has no keys, and one way may be free", async () => {
    using netns = new FreshNetns();
    connectPod(netns.path);
    const runtimeConfig = { bandwidth: { ingressRate: 16_000_000, ingressBurst: 2_147_483_647 } };
    const stdin = configuration(netns.path, { runtimeConfig });
    assert.deepEqual(await own.call("ADD", stdin, { netns: netns.path }), stdin.prevResult);
    assert.deepEqual(hostLinks(), ["lo", "host-a"]);
    await own.call("CHECK", stdin, { netns: netns.path });
    const more = { ingressRate: 8_000_000, ingressBurst: 256_000 };
    await assert.rejects(own.call("CHECK", { ...stdin, ...more }, { netns: netns.path }), {
      cniCode: 3,
      message: /the token bucket of host-a has the rate 2000000 instead of 1000000/,
    });
    // Asked again with other numbers, ADD sets those.
    await own.call("ADD", { ...stdin, ...more }, { netns: netns.path });
    await own.call("CHECK", { ...stdin, ...more }, { netns: netns.path });
    await own.call("DEL", stdin, { netns: netns.path });
    // Nothing to do is nothing done, with and without an interface.
    assert.deepEqual(await own.call("ADD", configuration(netns.path), { netns: netns.path }), stdin.prevResult);
  });

  test("bandwidth: what is wrong is refused before anything is made", async () => {
    const rows: [JsonObject, RegExp][] = [
      [{ ingressRate: 8000 }, /ingressRate .* and ingressBurst .* must both be given/],
      [{ egressBurst: 8000 }, /must both be given/],
      [{ egressRate: 8000, egressBurst: 2 ** 36 }, /more than the kernel takes/],
      [{ egressRate: -1, egressBurst: 8000 }, /egressRate/],
      [{ egressRate: "1M", egressBurst: 8000 }, /egressRate/],
      [{ ...limits, prevResult: null }, /prevResult is missing/],
    ];
    using netns = new FreshNetns();
    connectPod(netns.path);
    for (const [more, why] of rows)
      await assert.rejects(own.call("ADD", configuration(netns.path, more), { netns: netns.path }), { message: why });
    await assert.rejects(own.call("ADD", configuration(netns.path, limits), { netns: netns.path, ifname: "lo" }), {
      message: /lo in .* has no end on the host/,
    });
    assert.deepEqual(hostLinks(), ["lo", "host-a"]);
  });

  test("bandwidth: two interfaces of one container have an ifb each, and GC takes those that nobody has", async () => {
    using netns = new FreshNetns();
    connectPod(netns.path);
    connectPod(netns.path, "host-b", "net1");
    const stdin = configuration(netns.path, limits);
    const names: unknown[] = [];
    for (const ifname of ["eth0", "net1"]) {
      const { interfaces } = await own.call("ADD", stdin, { netns: netns.path, ifname });
      names.push(Array.isArray(interfaces) ? interfaces.at(-1) : undefined);
    }
    assert.equal(new Set(names.map((name) => JSON.stringify(name))).size, 2);
    await own.call("ADD", { ...stdin, name: "other" }, { netns: netns.path, containerId: "b" });
    assert.equal(hostLinks().filter((name) => name.startsWith("bwp")).length, 3);
    const gc = { ...configuration(""), cniVersion: "1.1.0" };
    const valid = { "cni.dev/valid-attachments": [{ containerID: "a", ifname: "net1" }] };
    await own.call("GC", { ...gc, ...valid });
    for (const ifname of ["net1"]) await own.call("CHECK", stdin, { netns: netns.path, ifname });
    assert.equal(hostLinks().filter((name) => name.startsWith("bwp")).length, 2);
    await own.call("DEL", stdin, { ifname: "net1" });
    await own.call("DEL", { ...stdin, name: "other" }, { containerId: "b" });
    assert.deepEqual(hostLinks().toSorted(), ["host-a", "host-b", "lo"]);
  });

  test("bandwidth: a kill at any step of ADD leaves nothing that DEL does not take away", async () => {
    for (const point of ["bandwidth.ingress-limited", "bandwidth.ifb-made", "bandwidth.egress-limited"]) {
      using netns = new FreshNetns();
      connectPod(netns.path);
      const child = spawnSync(process.execPath, [fileURLToPath(import.meta.url), "add", netns.path], {
        env: { ...process.env, TRIPOD_FAILPOINT: point, NODE_TEST_CONTEXT: undefined },
        encoding: "utf8",
      });
      assert.equal(child.signal, "SIGKILL", `${point}: ${child.stderr}`);
      const before = point === "bandwidth.ifb-made";
      if (before) await own.call("ADD", configuration(netns.path, limits), { netns: netns.path });
      await own.call("DEL", configuration(netns.path, limits), before ? {} : { netns: netns.path });
      assert.deepEqual(hostLinks(), ["lo", "host-a"], point);
      deleteLinks();
    }
  });

  const cell = interop({
    interface: "CNI",
    caller: peer("upstream's bandwidth", "containernetworking-plugins"),
    callee: "Tripod's bandwidth",
  });
  test(`${cell} | the same inputs make the same buckets, and each checks and takes back what the other made`, {
    skip: noUpstream("bandwidth"),
  }, async () => {
    const upstream = upstreamCallee("bandwidth");
    const rows: JsonObject[] = [
      limits,
      { ingressRate: 123_456_789, ingressBurst: 2_147_483_647 },
      { egressRate: 1_000_001, egressBurst: 333_333 },
      { ingressRate: 80_000_000_000, ingressBurst: 8_000_000 },
    ];
    for (const row of rows) {
      const outcomes = [];
      for (const [adds, deletes] of [
        [own, upstream],
        [upstream, own],
      ] as const) {
        using netns = new FreshNetns();
        connectPod(netns.path);
        const stdin = configuration(netns.path, row);
        const result = await adds.call("ADD", stdin, { netns: netns.path });
        outcomes.push({ made: buckets(), count: Array.isArray(result.interfaces) ? result.interfaces.length : 0 });
        for (const each of [own, upstream])
          await each.call("CHECK", { ...stdin, prevResult: result }, { netns: netns.path });
        await deletes.call("DEL", { ...stdin, prevResult: result }, { netns: netns.path });
        assert.deepEqual(hostLinks(), ["lo", "host-a"]);
        deleteLinks();
      }
      assert.deepEqual(outcomes[0], outcomes[1]);
    }
  });
}
