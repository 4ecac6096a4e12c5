import assert from "node:assert/strict";
import { mkdirSync, symlinkSync } from "node:fs";
import { test } from "node:test";
import { type JsonObject, parseResult } from "@tripod/cni";
import {
  AddressPool,
  callerOf,
  upstreamCallee,
  compareWithUpstream,
  exchange,
  noUpstream,
  onFreshHost,
  outsideAddresses,
  testAttachments,
  testPluginContract,
  Uplink,
} from "@tripod/cni/testing";
import { openRtnetlink } from "@tripod/linux";
import { FreshNetns, TemporaryFolder } from "@tripod/linux/testing";
import { hostLocal } from "@tripod/plugin-host-local";
import { interop, peer } from "@tripod/testing";
import { findDevice, userspaceDevice } from "./find-device.ts";
import { hostDevice } from "./host-device.ts";
import { parseHostDeviceConfig } from "./host-device-config.ts";

const parse = (config: JsonObject) => parseHostDeviceConfig({ config, args: new Map() });

test("host-device configuration: wrong values are refused by name, and one of several references counts", () => {
  const rows: readonly [JsonObject, RegExp][] = [
    [{}, /no device is named/],
    [{ device: "a/b" }, /not an interface name/],
    [{ hwaddr: "nonsense" }, /nonsense/],
    [{ kernelpath: "/etc" }, /not a path below \/sys\/devices/],
    [{ kernelpath: "/sys/devices/../../etc" }, /not a path below \/sys\/devices/],
    [{ pciBusID: "../../etc" }, /pciBusID/],
    [{ runtimeConfig: { deviceID: ".." } }, /deviceID/],
  ];
  for (const [config, message] of rows) assert.throws(() => parse(config), { code: "invalid", message });
  assert.deepEqual(parse({ device: "eth1", pciBusID: "0000:00:1f.6" }).device, { by: "device", name: "eth1" });
  const id = { runtimeConfig: { deviceID: "mlx5_core.sf.4" } };
  assert.deepEqual(parse({ pciBusID: "0000:00:1f.6", ...id }).device, { by: "deviceID", id: "mlx5_core.sf.4" });
  assert.deepEqual(parse({ hwaddr: "02-00-00-00-00-0A" }).device, { by: "hwaddr", mac: "02:00:00:00:00:0a" });
});

if (onFreshHost(import.meta.url)) {
  const pool = new AddressPool();
  test.after(() => pool[Symbol.dispose]());
  const config = { device: "lent", ipam: pool.ipam() };
  const call = callerOf({ plugin: hostDevice, delegates: [hostLocal], network: "lent", config });
  /** An interface that is gone with its namespace cannot be lent twice: each test has one of its own, which is down. */
  const lend = (): Uplink => {
    const uplink = new Uplink({ name: "lent" });
    using host = openRtnetlink();
    host.linkSet("lent", { up: false });
    return uplink;
  };

  // A namespace that ends takes the interface of a test along: before each call there is one of a name of its own.
  let count = 0;
  testPluginContract({
    plugin: hostDevice,
    delegates: [hostLocal],
    config() {
      using host = openRtnetlink();
      if (host.findLink(`lent${count}`) === undefined) {
        count += 1;
        host.linkAdd({ kind: "veth", name: `lent${count}`, peer: { name: `other${count}` } });
      }
      return { ...config, device: `lent${count}` };
    },
  });
  testAttachments({
    plugin: hostDevice,
    delegates: [hostLocal],
    config,
    reserved: () => pool.reserved("suite"),
    prepare: lend,
    atOnce: 1,
  });

  test("a container has the interface under its own name, and the host has it back under the old one", async () => {
    using uplink = lend();
    using netns = new FreshNetns();
    using host = openRtnetlink();
    const { mac } = host.linkByName("lent");
    const result = parseResult(await call("ADD", netns.path), "1.1.0");
    assert.deepEqual(result.interfaces, [{ name: "eth0", mac, mtu: 1500, sandbox: netns.path }]);
    assert.equal(host.findLink("lent"), undefined);
    await exchange({ from: netns.path, to: uplink.outside, addresses: outsideAddresses });
    const addresses = result.ips.map(({ address }) => address.split("/")[0] ?? "");
    await exchange({ from: uplink.outside, to: netns.path, addresses });
    await call("DEL", netns.path);
    const back = host.linkByName("lent");
    assert.deepEqual([back.mac, back.up, back.alias ?? ""], [mac, false, ""]);
    // Once more, by its MAC and without addresses.
    await call("ADD", netns.path, { ifname: "net1", more: { device: "", hwaddr: mac.toUpperCase(), ipam: {} } });
    {
      using there = openRtnetlink({ netns: netns.path });
      assert.ok(there.linkByName("net1").up);
    }
    await call("DEL", netns.path, { ifname: "net1" });
    assert.equal(host.linkByName("lent").mac, mac);
  });

  test("DEL without the namespace gives the addresses back (upstream #1196)", async () => {
    const skipped = noUpstream("host-device");
    using _uplink = lend();
    {
      using netns = new FreshNetns();
      await call("ADD", netns.path);
    }
    assert.equal(pool.reserved("lent").length, 2);
    if (skipped === false) {
      const stdin = { cniVersion: "1.0.0", name: "lent", type: "host-device", ...config };
      await upstreamCallee("host-device").call("DEL", stdin);
      assert.equal(pool.reserved("lent").length, 2);
    }
    await call("DEL", "");
    assert.deepEqual(pool.reserved("lent"), []);
  });

  test("DEL leaves alone what it has not lent, and tells of a name that is taken by now", async () => {
    using uplink = lend();
    using netns = new FreshNetns();
    using host = openRtnetlink();
    using there = openRtnetlink({ netns: netns.path });
    there.linkAdd({ kind: "veth", name: "eth0", peer: { name: "other" } });
    await assert.rejects(call("ADD", netns.path), { code: "already-exists" });
    await call("DEL", netns.path);
    assert.ok(there.findLink("eth0") !== undefined && host.findLink("lent") !== undefined);
    there.linkDelete("eth0");
    await call("ADD", netns.path);
    host.linkAdd({ kind: "veth", name: "lent", peer: { name: "usurper" } });
    await assert.rejects(call("DEL", netns.path), { message: /the host has another interface lent by now/ });
    host.linkDelete("lent");
    await call("DEL", netns.path);
    assert.ok(host.findLink("lent") !== undefined, uplink.outside);
    await assert.rejects(call("ADD", netns.path, { more: { device: "lo" } }), { message: /cannot be moved/ });
    await assert.rejects(call("ADD", netns.path, { more: { device: "none0" } }), {
      message: /there is no interface none0/,
    });
  });

  test("hardware that the kernel has brought back under the container's name is found, and gets its own name again", async () => {
    using _uplink = lend();
    using netns = new FreshNetns();
    using host = openRtnetlink();
    // As it stands there when the namespace ended before DEL.
    host.linkSet("lent", { name: "net1", alias: "lent" });
    await call("ADD", netns.path);
    assert.equal(host.findLink("net1"), undefined);
    await call("DEL", netns.path);
    assert.equal(host.linkByName("lent").alias ?? "", "");
  });

  test("devices are found by path, PCI and auxiliary bus; one that a program drives has no interface", () => {
    using folder = new TemporaryFolder("sysfs");
    using _uplink = lend();
    using host = openRtnetlink();
    const sys = folder.path;
    const devices = folder.join("bus", "pci", "devices");
    mkdirSync(`${devices}/0000:00:01.0/net/lent`, { recursive: true });
    mkdirSync(`${devices}/0000:00:02.0/virtio3/net/lent`, { recursive: true });
    mkdirSync(`${devices}/0000:00:03.0`, { recursive: true });
    mkdirSync(folder.join("drivers", "vfio-pci"), { recursive: true });
    symlinkSync(folder.join("drivers", "vfio-pci"), `${devices}/0000:00:03.0/driver`);
    mkdirSync(folder.join("bus", "auxiliary", "devices", "mlx5_core.sf.4", "net", "lent"), { recursive: true });
    for (const device of [
      { by: "pci", id: "0000:00:01.0" },
      { by: "pci", id: "0000:00:02.0" },
      { by: "deviceID", id: "0000:00:01.0" },
      { by: "deviceID", id: "mlx5_core.sf.4" },
      { by: "kernelpath", path: `${devices}/0000:00:01.0` },
    ] as const) {
      assert.equal(findDevice(device, host, { sys }).name, "lent");
      assert.equal(userspaceDevice(device, { sys }), undefined);
    }
    assert.equal(userspaceDevice({ by: "pci", id: "0000:00:03.0" }, { sys }), "0000:00:03.0");
    assert.throws(() => findDevice({ by: "pci", id: "0000:00:03.0" }, host, { sys }), { message: /no interface in/ });
    assert.throws(() => findDevice({ by: "pci", id: "mlx5_core.sf.4" }, host, { sys }), { message: /no device mlx5/ });
  });

  const cell = interop({
    interface: "CNI",
    caller: "Tripod's comparison",
    callee: peer("upstream's main plugins", "containernetworking-plugins"),
  });
  test(`${cell} | host-device: the same namespaces and result`, { skip: noUpstream("host-device") }, async () => {
    const rows: readonly [JsonObject, readonly string[]][] = [
      [{}, []],
      // Without ipam upstream's forgets the resolver's settings.
      [{ dns: { nameservers: ["10.88.0.1"] }, ipam: {} }, ['result dns.nameservers.0: (none), "10.88.0.1"']],
    ];
    for (const [row, wanted] of rows) {
      const differences = await compareWithUpstream({
        plugin: hostDevice,
        delegates: [hostLocal],
        config: (side) => ({ device: "lent", ipam: pool.ipam(side), ...row }),
        prepare: lend,
      });
      assert.deepEqual(differences, wanted, JSON.stringify(row));
    }
  });
}
