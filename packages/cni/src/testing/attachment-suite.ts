import assert from "node:assert/strict";
import { test } from "node:test";
import { openRtnetlink } from "@tripod/linux";
import { FreshNetns } from "@tripod/linux/testing";
import { isJsonObject, type JsonObject } from "../json.ts";
import type { CniCommand, CniPlugin } from "../plugin.ts";
import { PluginInvoker } from "../plugin-invoker.ts";
import { networkSnapshot, snapshotDifferences } from "./network-snapshot.ts";

export interface AttachmentSuiteOptions {
  readonly plugin: CniPlugin;
  readonly delegates: readonly CniPlugin[];
  /** A configuration with which ADD succeeds any number of times, with an IPAM plugin that keeps records. */
  readonly config: JsonObject;
  /** The addresses that IPAM holds at the moment, whoever has them. */
  readonly reserved: () => readonly string[];
  /** Makes on the host what ADD needs; disposed of after each test. */
  readonly prepare?: () => Disposable;
  /** The most attachments that there can be at a time; more than two unless told. */
  readonly atOnce?: 1;
}

/**
 * What every plugin that connects a container must do beyond the protocol: leave no trace after DEL in any order of events, refuse a second
 * ADD without harm to the first, and take back what a failed one made. Registers tests; to be run on a fresh host.
 */
export function testAttachments(options: AttachmentSuiteOptions): void {
  const { plugin, delegates, config, reserved } = options;
  const invoker = new PluginInvoker({
    binDirs: [],
    plugins: new Map([plugin, ...delegates].map((each) => [each.name, each])),
  });
  const run = async (
    command: CniCommand,
    netns: string,
    { id = "one", more = {} }: { readonly id?: string; readonly more?: JsonObject } = {},
  ): Promise<JsonObject> => {
    const result = await invoker.invoke(plugin.name, {
      command,
      containerId: command === "GC" ? "" : id,
      netns,
      ifname: command === "GC" ? "" : "eth0",
      args: "",
      path: [],
      stdin: { cniVersion: "1.1.0", name: "suite", type: plugin.name, ...config, ...more },
      signal: new AbortController().signal,
    });
    return result ?? {};
  };
  /** Runs `work` with the container's namespace, and asserts that host, container and IPAM are then as they were. */
  const leavingNothing = async (work: (netns: FreshNetns) => Promise<void>): Promise<void> => {
    using _prepared = options.prepare?.();
    const before = networkSnapshot();
    using netns = new FreshNetns();
    const empty = networkSnapshot({ netns: netns.path });
    await work(netns);
    assert.deepEqual(snapshotDifferences(before, networkSnapshot()).filter(notForwarding), []);
    assert.deepEqual(snapshotDifferences(empty, networkSnapshot({ netns: netns.path })).filter(notKept), []);
    assert.deepEqual(reserved(), []);
  };

  test(`${plugin.name}: DEL takes away what ADD made, also when asked twice, and before any ADD`, () =>
    leavingNothing(async ({ path }) => {
      await run("DEL", path);
      const prevResult = await run("ADD", path);
      assert.ok(reserved().length > 0);
      await run("CHECK", path, { more: { prevResult } });
      await run("DEL", path, { more: { prevResult } });
      await run("DEL", path);
    }));

  test(`${plugin.name}: a second ADD is refused, and the first goes on`, () =>
    leavingNothing(async ({ path }) => {
      const prevResult = await run("ADD", path);
      const held = reserved();
      await assert.rejects(run("ADD", path), { message: /DEL (it|the attachment) first/ });
      assert.deepEqual(reserved(), held);
      await run("CHECK", path, { more: { prevResult } });
      await run("DEL", path);
    }));

  test(`${plugin.name}: DEL after the namespace has gone leaves nothing`, async () => {
    using _prepared = options.prepare?.();
    {
      using netns = new FreshNetns();
      await run("ADD", netns.path);
    }
    await run("DEL", "");
    assert.deepEqual(reserved(), []);
  });

  test(`${plugin.name}: an ADD whose addresses cannot be set is taken back`, () =>
    leavingNothing(async ({ path }) => {
      const routes = [{ dst: "192.0.2.0/24", gw: "203.0.113.1" }];
      const ipam = isJsonObject(config.ipam) ? { ...config.ipam, routes } : {};
      await assert.rejects(run("ADD", path, { more: { ipam } }), { message: /192\.0\.2\.0\/24 via 203\.0\.113\.1/ });
    }));

  test(`${plugin.name}: CHECK tells what is missing`, () =>
    leavingNothing(async ({ path }) => {
      const prevResult = await run("ADD", path);
      {
        using there = openRtnetlink({ netns: path });
        const { index } = there.linkByName("eth0");
        const [address] = there.addresses({ index, family: "ipv4" });
        assert.ok(address !== undefined);
        there.addressDelete({ index, address: address.address });
        await assert.rejects(run("CHECK", path, { more: { prevResult } }), { cniCode: 3, message: /does not have/ });
        there.linkSet(index, { up: false });
        await assert.rejects(run("CHECK", path, { more: { prevResult } }), { cniCode: 3, message: /is down/ });
      }
      await run("DEL", path);
      await assert.rejects(run("CHECK", path, { more: { prevResult } }), { cniCode: 3 });
    }));

  if (options.atOnce === 1) return;
  test(`${plugin.name}: GC gives back the addresses of those that no runtime knows any more`, () =>
    leavingNothing(async (kept) => {
      using lost = new FreshNetns();
      const prevResult = await run("ADD", kept.path, { id: "kept" });
      const held = reserved();
      await run("ADD", lost.path, { id: "lost" });
      await run("GC", "", { more: { "cni.dev/valid-attachments": [{ containerID: "kept", ifname: "eth0" }] } });
      assert.deepEqual(reserved(), held);
      await run("CHECK", kept.path, { id: "kept", more: { prevResult } });
      await run("DEL", kept.path, { id: "kept" });
      await run("DEL", lost.path, { id: "lost" });
    }));
}

/** A host that once was a gateway goes on forwarding. */
const notForwarding = (line: string): boolean => !line.includes("forwarding");
/** IPv6 that was switched on for the loopback interface stays on. */
const notKept = (line: string): boolean => !line.includes("conf/lo/");
