import assert from "node:assert/strict";
import { on } from "node:events";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { type CniCommand, type JsonObject } from "@tripod/cni";
import {
  AddressPool,
  callerOf,
  compareWithUpstream,
  lacksLinkKind,
  noUpstream,
  onFreshHost,
  testAttachments,
  testPluginContract,
} from "@tripod/cni/testing";
import { openRtnetlink, streamOfFd, tunTapOpen } from "@tripod/linux";
import { FreshNetns } from "@tripod/linux/testing";
import { hostLocal } from "@tripod/plugin-host-local";
import { interop } from "@tripod/testing";
import { tap } from "./tap.ts";
import { parseTapConfig } from "./tap-config.ts";

test("tap configuration: wrong values are refused by name", () => {
  const parse = (config: JsonObject) => parseTapConfig({ config, args: new Map() });
  assert.throws(() => parse({ owner: -1 }), { code: "invalid", message: /"owner"/ });
  assert.throws(() => parse({ group: "root" }), { code: "invalid", message: /"group"/ });
  assert.throws(() => parse({ multiQueue: 2 }), { code: "invalid", message: /"multiQueue"/ });
  assert.throws(() => parse({ selinuxContext: "--help" }), { code: "invalid", message: /selinuxContext/ });
  assert.throws(() => parse({ bridge: "a b" }), { code: "invalid" });
  assert.throws(() => parse({ mac: "02:00" }), { code: "invalid" });
});

const missing = lacksLinkKind("tap");
if (missing !== false) test("tap on the kernel", { skip: missing }, () => {});
else if (onFreshHost(import.meta.url)) {
  const pool = new AddressPool();
  test.after(() => pool[Symbol.dispose]());
  const config = { ipam: pool.ipam() };
  const caller = callerOf({ plugin: tap, delegates: [hostLocal], network: "taps", config });
  const call = (command: CniCommand, netns: string, more: JsonObject = {}): Promise<JsonObject> =>
    caller(command, netns, { ifname: "tap0", more });

  testPluginContract({ plugin: tap, delegates: [hostLocal], config });
  testAttachments({ plugin: tap, delegates: [hostLocal], config, reserved: () => pool.reserved("suite") });

  test("a program opens the device and gets what is sent to the network behind it", async () => {
    using netns = new FreshNetns();
    await call("ADD", netns.path);
    // As a virtual machine's monitor does it; the kernel then has a carrier, and announces the address by a frame of ARP.
    const device = streamOfFd(tunTapOpen({ kind: "tap", name: "tap0", netns: netns.path }));
    const frames = on(device, "data", { signal: AbortSignal.timeout(20_000) });
    using there = openRtnetlink({ netns: netns.path });
    there.linkSet("tap0", { up: false });
    there.linkSet("tap0", { up: true });
    for await (const [frame] of frames) {
      if (!Buffer.isBuffer(frame) || frame.readUInt16BE(12) !== 0x0806) continue;
      assert.deepEqual([...frame.subarray(28, 32)], [10, 88, 0, 10]);
      break;
    }
    device.destroy();
    await call("DEL", netns.path);
  });

  test("owner, group, queues, MAC, MTU and bridge are as the configuration says", async () => {
    using netns = new FreshNetns();
    using there = openRtnetlink({ netns: netns.path });
    const more = {
      owner: 1000,
      group: 2000,
      multiQueue: true,
      mac: "02:11:22:33:44:55",
      mtu: 1400,
      bridge: "br",
      ipam: {},
    };
    await assert.rejects(call("ADD", netns.path, more), { message: /there is no bridge br in/ });
    assert.equal(there.findLink("tap0"), undefined);
    there.linkAdd({ kind: "bridge", name: "br", up: true });
    const prevResult = (await call("ADD", netns.path, more)) ?? {};
    const { mac, mtu, master, up } = there.linkByName("tap0");
    assert.deepEqual([mac, mtu, master, up], ["02:11:22:33:44:55", 1400, there.linkByName("br").index, true]);
    assert.deepEqual(there.linkByName("tap0").tun, { owner: 1000, group: 2000, multiQueue: true, persistent: true });
    await call("CHECK", netns.path, { ...more, prevResult });
    there.linkSet("tap0", { master: "none" });
    await assert.rejects(call("CHECK", netns.path, { ...more, prevResult }), {
      cniCode: 3,
      message: /not a port of br/,
    });
    await call("DEL", netns.path, more);
  });

  test("an SELinux context is refused where there is no SELinux", { skip: hasSelinux() }, async () => {
    using netns = new FreshNetns();
    const selinuxContext = "system_u:system_r:container_t:s0";
    await assert.rejects(call("ADD", netns.path, { selinuxContext }), { message: /this machine has no SELinux/ });
  });

  const cell = interop({ interface: "CNI", caller: "Tripod's comparison", callee: "upstream's tap" });
  test(`${cell} | tap: the same namespaces and result`, { skip: noUpstream("tap") }, async () => {
    const rows: readonly JsonObject[] = [{}, { mtu: 1400, mac: "02:11:22:33:44:55", multiQueue: true, ipam: {} }];
    for (const row of rows) {
      const differences = await compareWithUpstream({
        plugin: tap,
        delegates: [hostLocal],
        config: (side) => ({ ipam: pool.ipam(side), ...row }),
        macs: ["02:11:22:33:44:55"],
      });
      assert.deepEqual(differences, [], JSON.stringify(row));
    }
  });
}

function hasSelinux(): string | false {
  return readFileSync("/proc/filesystems", "utf8").includes("selinuxfs") ? "this kernel has SELinux" : false;
}
