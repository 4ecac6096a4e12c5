import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { conntrackDelete, inNetns, isErrno, nft, openRtnetlink, readSysctl } from "@tripod/linux";
import { onFreshHost } from "@tripod/cni/testing";
import { FreshNetns } from "@tripod/linux/testing";
import { fetchFrom } from "./testing/fetch-from.ts";
import { connectOutside, PodNetwork, serveInNetns } from "./testing/pod-network.ts";

const udpEcho = `
const socket = require("node:dgram").createSocket("udp4");
socket.on("message", (message, from) => socket.send(message, from.port, from.address));
socket.bind(5300, () => console.log("ready"));`;

const udpAsk = (host: string, port: number): string => `
const socket = require("node:dgram").createSocket("udp4");
const timer = setInterval(() => socket.send("ping", ${port}, "${host}"), 100);
socket.on("message", (message) => { console.log(String(message)); clearInterval(timer); socket.close(); });
socket.send("ping", ${port}, "${host}");`;

/** Starts a little program inside a namespace and waits for the first thing that it says. */
async function startIn(netns: string, program: string): Promise<{ readonly said: string } & Disposable> {
  const child = inNetns(netns, () =>
    spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] }),
  );
  const [said] = await once(child.stdout, "data", { signal: AbortSignal.timeout(10_000) });
  return { said: String(said).trim(), [Symbol.dispose]: () => child.kill("SIGKILL") };
}

/** Why bridges here cannot filter VLANs, found by making one that does; false where they can. */
function lacksVlanFiltering(): string | false {
  using host = openRtnetlink();
  try {
    host.linkAdd({ kind: "bridge", name: "probe", vlanFiltering: true });
    host.linkDelete("probe");
    return false;
  } catch (error) {
    if (!isErrno(error, "EOPNOTSUPP")) throw error;
    return "this kernel's bridges do not filter VLANs (CONFIG_BRIDGE_VLAN_FILTERING)";
  }
}

if (onFreshHost(import.meta.url)) {
  test("containers reach one another, the host, and by masquerade what lies beyond, in both families", async () => {
    await using network = await PodNetwork.start();
    using outside = connectOutside();
    using a = new FreshNetns();
    using b = new FreshNetns();
    const first = await network.runtime.add({ containerId: "a", netns: a.path });
    const second = await network.runtime.add({ containerId: "b", netns: b.path });
    assert.deepEqual(
      first.ips.map(({ address }) => address),
      ["10.77.0.2/24", "fd77::2/64"],
    );
    assert.equal(readSysctl("net/ipv4/ip_forward"), "1");
    {
      await using server = await serveInNetns(b.path, "hello");
      const address = second.ips.map(({ address: text }) => text.split("/")[0] ?? "");
      assert.equal(await fetchFrom(a.path, address[0] ?? "", server.port), "hello 10.77.0.2");
      assert.equal(await fetchFrom(a.path, address[1] ?? "", server.port), "hello fd77::2");
      assert.equal(await fetchFrom(undefined, address[0] ?? "", server.port), "hello 10.77.0.1");
    }
    {
      await using beyond = await serveInNetns(outside.path, "beyond");
      assert.equal(await fetchFrom(a.path, "192.168.50.2", beyond.port), "beyond 192.168.50.1");
    }
    for (const [containerId, { path: netns }] of [
      ["a", a],
      ["b", b],
    ] as const) {
      await network.runtime.check({ containerId });
      await network.runtime.del({ containerId, netns });
      using there = openRtnetlink({ netns });
      assert.deepEqual(
        there.links().map(({ name }) => name),
        ["lo"],
      );
    }
    assert.equal(nft("list ruleset"), "");
  });

  test("an address that passes to another container is reached there at once", async () => {
    await using network = await PodNetwork.start((dataDir) => ({
      cniVersion: "1.0.0",
      name: "tiny",
      plugins: [
        {
          type: "bridge",
          bridge: "br-test",
          isDefaultGateway: true,
          ipam: { type: "host-local", dataDir, ranges: [[{ subnet: "10.77.0.0/30" }]] },
        },
      ],
    }));
    for (const containerId of ["one", "two", "three"]) {
      using netns = new FreshNetns();
      await network.runtime.add({ containerId, netns: netns.path });
      await using server = await serveInNetns(netns.path, containerId);
      assert.equal(await fetchFrom(undefined, "10.77.0.2", server.port), `${containerId} 10.77.0.1`);
      await network.runtime.del({ containerId, netns: netns.path });
    }
  });

  test("a host port leads to the container from outside, from the host, from its loopback and from the container itself", async () => {
    await using network = await PodNetwork.start();
    using outside = connectOutside();
    using web = new FreshNetns();
    const portMappings = [
      { hostPort: 8080, containerPort: 80, protocol: "tcp" },
      { hostPort: 8081, containerPort: 80, protocol: "TCP", hostIP: "192.168.50.1" },
      { hostPort: 5353, containerPort: 5300, protocol: "udp" },
      { hostPort: 0, containerPort: 443, protocol: "tcp" },
    ];
    await network.runtime.add({ containerId: "web", netns: web.path, capabilityArgs: { portMappings } });
    await network.runtime.check({ containerId: "web" });
    await using _server = await serveInNetns(web.path, "web", 80);
    assert.equal(await fetchFrom(outside.path, "192.168.50.1", 8080), "web 192.168.50.2");
    assert.equal(await fetchFrom(outside.path, "192.168.50.1", 8081), "web 192.168.50.2");
    assert.match(await fetchFrom(undefined, "192.168.50.1", 8080), /^web /);
    assert.match(await fetchFrom(undefined, "127.0.0.1", 8080), /^web 10\.77\.0\.1/);
    await assert.rejects(fetchFrom(undefined, "127.0.0.1", 8081), { code: "ECONNREFUSED" });
    assert.match(await fetchFrom(web.path, "192.168.50.1", 8080), /^web /);
    {
      using _echo = await startIn(web.path, udpEcho);
      using answer = await startIn(outside.path, udpAsk("192.168.50.1", 5353));
      assert.equal(answer.said, "ping");
    }
    await network.runtime.del({ containerId: "web", netns: web.path });
    await assert.rejects(fetchFrom(outside.path, "192.168.50.1", 8080), { code: "ECONNREFUSED" });
    assert.equal(nft("list ruleset"), "");
  });

  test("a UDP flow that was under way is led to the container that the port is mapped to now", async () => {
    await using network = await PodNetwork.start();
    using outside = connectOutside();
    using one = new FreshNetns();
    using two = new FreshNetns();
    const capabilityArgs = { portMappings: [{ hostPort: 5353, containerPort: 5300, protocol: "udp" }] };
    await network.runtime.add({ containerId: "one", netns: one.path, capabilityArgs });
    // With its last rule the whole table goes, and with its chains what they had translated: another container keeps it.
    using other = new FreshNetns();
    await network.runtime.add({
      containerId: "other",
      netns: other.path,
      capabilityArgs: { portMappings: [{ hostPort: 5399, containerPort: 5399, protocol: "udp" }] },
    });
    // A client that goes on sending from one port keeps the kernel's memory of the first mapping alive.
    const persistent = `
      const socket = require("node:dgram").createSocket("udp4");
      socket.on("message", (message) => console.log(String(message)));
      setInterval(() => socket.send("ping", 5353, "192.168.50.1"), 50);`;
    const server = (text: string): string => udpEcho.replace("socket.send(message,", `socket.send("${text}",`);
    const first = await startIn(one.path, server("first"));
    const client = inNetns(outside.path, () =>
      spawn(process.execPath, ["-e", persistent], { stdio: ["ignore", "pipe", "inherit"] }),
    );
    const patience = setTimeout(() => client.kill("SIGKILL"), 10_000);
    try {
      const answers = client.stdout.iterator({ destroyOnReturn: false });
      assert.match(String((await answers.next()).value), /first/);
      assert.equal(conntrackDelete({ family: "ipv4", protocol: "udp", destinationPort: 5354 }), 0);
      assert.equal(conntrackDelete({ family: "ipv4", protocol: "tcp", destinationPort: 5353 }), 0);
      assert.ok(conntrackDelete({ family: "ipv4", protocol: "udp", destinationPort: 5353 }) > 0);
      assert.match(String((await answers.next()).value), /first/);
      first[Symbol.dispose]();
      await network.runtime.del({ containerId: "one", netns: one.path });
      using _second = await startIn(two.path, server("second"));
      await network.runtime.add({ containerId: "two", netns: two.path, capabilityArgs });
      for (let heard = ""; !heard.includes("second"); ) {
        const { value, done } = await answers.next();
        assert.notEqual(done, true, "the client was never answered by the second container");
        heard = String(value);
      }
      await network.runtime.del({ containerId: "two", netns: two.path });
      await network.runtime.del({ containerId: "other", netns: other.path });
    } finally {
      clearTimeout(patience);
      client.kill("SIGKILL");
      first[Symbol.dispose]();
    }
  });

  test("isolated ports, a MAC by capability, and a check for other MACs", async () => {
    await using network = await PodNetwork.start((dataDir) => ({
      cniVersion: "1.1.0",
      name: "strict",
      plugins: [
        {
          type: "bridge",
          bridge: "br-test",
          isDefaultGateway: true,
          portIsolation: true,
          macspoofchk: true,
          mtu: 1400,
          capabilities: { mac: true },
          ipam: { type: "host-local", dataDir, ranges: [[{ subnet: "10.77.0.0/24" }]] },
        },
      ],
    }));
    using a = new FreshNetns();
    using b = new FreshNetns();
    const mac = "02:aa:bb:cc:dd:01";
    const result = await network.runtime.add({ containerId: "a", netns: a.path, capabilityArgs: { mac } });
    assert.equal(result.interfaces[2]?.mac, mac);
    assert.equal(result.interfaces[2]?.mtu, 1400);
    await network.runtime.add({ containerId: "b", netns: b.path });
    await using server = await serveInNetns(b.path, "b");
    assert.equal(await fetchFrom(undefined, "10.77.0.3", server.port), "b 10.77.0.1");
    {
      using host = openRtnetlink();
      assert.equal(host.linkByName(result.interfaces[1]?.name ?? "").port?.isolated, true);
    }
    {
      using there = openRtnetlink({ netns: a.path });
      there.linkSet("eth0", { mac: "02:aa:bb:cc:dd:02" });
    }
    await assert.rejects(network.runtime.check({ containerId: "a" }), {
      message: /has the MAC 02:aa:bb:cc:dd:02 instead of 02:aa:bb:cc:dd:01/,
    });
    await network.runtime.del({ containerId: "a", netns: a.path });
    await network.runtime.del({ containerId: "b", netns: b.path });
    assert.equal(nft("list ruleset"), "");
  });

  test("containers of one VLAN reach one another and their gateway, over a link of its own", {
    skip: lacksVlanFiltering(),
  }, async () => {
    const conflist = (vlan: number, subnet: string) => (dataDir: string) => ({
      cniVersion: "1.0.0",
      name: `vlan${vlan}`,
      plugins: [
        {
          type: "bridge",
          bridge: "br-test",
          vlan,
          isDefaultGateway: true,
          ipam: { type: "host-local", dataDir, ranges: [[{ subnet }]] },
        },
      ],
    });
    await using red = await PodNetwork.start(conflist(10, "10.10.0.0/24"));
    await using blue = await PodNetwork.start(conflist(20, "10.20.0.0/24"));
    using a = new FreshNetns();
    using b = new FreshNetns();
    using c = new FreshNetns();
    await red.runtime.add({ containerId: "a", netns: a.path });
    await red.runtime.add({ containerId: "b", netns: b.path });
    await blue.runtime.add({ containerId: "c", netns: c.path });
    await using server = await serveInNetns(b.path, "b");
    assert.equal(await fetchFrom(a.path, "10.10.0.3", server.port), "b 10.10.0.2");
    assert.equal(await fetchFrom(undefined, "10.10.0.3", server.port), "b 10.10.0.1");
    using host = openRtnetlink();
    assert.deepEqual(
      host
        .links()
        .filter(({ kind }) => kind === "vlan")
        .map(({ name }) => name),
      ["br-test.10", "br-test.20"],
    );
    await red.runtime.del({ containerId: "a", netns: a.path });
    await red.runtime.del({ containerId: "b", netns: b.path });
    await blue.runtime.del({ containerId: "c", netns: c.path });
  });
}
