import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { silentLogger } from "@tripod/base";
import { openRtnetlink } from "@tripod/linux";
import { FreshNetns, TemporaryFolder } from "@tripod/linux/testing";
import { Tracing } from "@tripod/trace";
import { CniRuntime } from "./cni-runtime.ts";
import type { JsonObject } from "./json.ts";
import { type CniPlugin, definePlugin, type PluginCall } from "./plugin.ts";
import { emptyResult } from "./result.ts";
import { onFreshHost } from "./testing/on-fresh-host.ts";

/** A plugin that writes down what it is called with and adds an address to the result. */
function recorder(name: string, log: string[], calls: PluginCall[], more: Partial<CniPlugin> = {}): CniPlugin {
  const note = (call: PluginCall): void => {
    log.push(`${call.command} ${name}`);
    calls.push(call);
  };
  return definePlugin({
    name,
    add(call) {
      note(call);
      const result = call.prevResult ?? emptyResult(call.cniVersion);
      return { ...result, ips: [...result.ips, { interface: 0, address: `10.0.0.${result.ips.length + 1}/24` }] };
    },
    del: note,
    check: note,
    gc: note,
    status: note,
    ...more,
  });
}

interface Setting extends AsyncDisposable {
  readonly runtime: CniRuntime;
  readonly folder: TemporaryFolder;
  readonly netns: FreshNetns;
  readonly log: string[];
  readonly calls: PluginCall[];
  configure(network: JsonObject): void;
}

const network = (more: JsonObject = {}): JsonObject => ({
  cniVersion: "1.1.0",
  name: "net",
  plugins: [{ type: "first" }, { type: "second" }],
  ...more,
});

async function setting(
  more: JsonObject = {},
  plugins: Readonly<Record<string, Partial<CniPlugin>>> = {},
): Promise<Setting> {
  const folder = new TemporaryFolder("cni-runtime");
  const netns = new FreshNetns();
  const log: string[] = [];
  const calls: PluginCall[] = [];
  mkdirSync(folder.join("net.d"));
  const configure = (config: JsonObject): void =>
    writeFileSync(folder.join("net.d", "10-net.conflist"), JSON.stringify(config));
  configure(network(more));
  const runtime = new CniRuntime({
    confDir: folder.join("net.d"),
    binDirs: [folder.join("bin")],
    cacheDir: folder.join("cache"),
    plugins: new Map(["first", "second"].map((name) => [name, recorder(name, log, calls, plugins[name])])),
    log: silentLogger,
  });
  await runtime.load();
  const dispose = async (): Promise<void> => {
    await runtime[Symbol.asyncDispose]();
    netns[Symbol.dispose]();
    folder[Symbol.dispose]();
  };
  return { runtime, folder, netns, log, calls, configure, [Symbol.asyncDispose]: dispose };
}

if (onFreshHost(import.meta.url)) {
  test("ADD hands the result down the chain, DEL goes back up with it", async () => {
    await using t = await setting();
    const result = await t.runtime.add({ containerId: "a", netns: t.netns.path, args: { K8S_POD_NAME: "web" } });
    assert.deepEqual(
      result.ips.map(({ address }) => address),
      ["10.0.0.1/24", "10.0.0.2/24"],
    );
    assert.equal(t.calls[0]?.prevResult, undefined);
    assert.equal(t.calls[1]?.prevResult?.ips.length, 1);
    assert.equal(t.calls[1]?.args.get("K8S_POD_NAME"), "web");
    assert.deepEqual(await t.runtime.cachedResult({ containerId: "a" }), result);
    await t.runtime.check({ containerId: "a" });
    await t.runtime.del({ containerId: "a" });
    assert.deepEqual(t.log, ["ADD first", "ADD second", "CHECK first", "CHECK second", "DEL second", "DEL first"]);
    assert.equal(t.calls[4]?.prevResult?.ips.length, 2);
    assert.equal(t.calls[4]?.args.get("K8S_POD_NAME"), "web");
    assert.equal(t.calls[4]?.netns, t.netns.path);
    using there = openRtnetlink({ netns: t.netns.path });
    assert.ok(there.linkByName("lo").up);
  });

  test("the cache has libcni's layout, modes and fields", async () => {
    await using t = await setting();
    await t.runtime.add({
      containerId: "a",
      netns: t.netns.path,
      args: { K: "V" },
      capabilityArgs: { mac: "02:00:00:00:00:01" },
    });
    const dir = t.folder.join("cache", "results");
    assert.equal(statSync(dir).mode & 0o777, 0o700);
    assert.equal(statSync(`${dir}/net-a-eth0`).mode & 0o777, 0o600);
    const cached: unknown = JSON.parse(readFileSync(`${dir}/net-a-eth0`, "utf8"));
    assert.ok(typeof cached === "object" && cached !== null && "config" in cached);
    const { config, ...rest } = cached;
    assert.deepEqual(rest, {
      kind: "cniCacheV1",
      containerId: "a",
      ifName: "eth0",
      networkName: "net",
      netns: t.netns.path,
      cniArgs: [["K", "V"]],
      capabilityArgs: { mac: "02:00:00:00:00:01" },
      result: {
        cniVersion: "1.1.0",
        ips: [
          { interface: 0, address: "10.0.0.1/24" },
          { interface: 0, address: "10.0.0.2/24" },
        ],
      },
    });
    assert.match(Buffer.from(String(config), "base64").toString(), /"plugins":\[\{"type":"first"\}/);
  });

  test("DEL uses the configuration of the time of ADD", async () => {
    await using t = await setting();
    await t.runtime.add({ containerId: "a", netns: t.netns.path });
    const changed = new Promise<void>((resolve) => {
      t.runtime.onStatusChange((status) => status.ready && status.network.name === "other" && resolve());
    });
    t.configure({ cniVersion: "1.1.0", name: "other", plugins: [{ type: "second" }] });
    await changed;
    t.log.length = 0;
    await t.runtime.del({ containerId: "a", netns: t.netns.path });
    assert.deepEqual(t.log, ["DEL second", "DEL first"]);
    assert.deepEqual(readdirSync(t.folder.join("cache", "results")), []);
  });

  test("DEL works with a broken configuration, and on what was never attached", async () => {
    await using t = await setting();
    await t.runtime.add({ containerId: "a", netns: t.netns.path });
    const broken = new Promise<void>((resolve) => {
      t.runtime.onStatusChange((status) => !status.ready && resolve());
    });
    rmSync(t.folder.join("net.d", "10-net.conflist"));
    await broken;
    await t.runtime.del({ containerId: "a" });
    await t.runtime.del({ containerId: "a" });
    assert.deepEqual(t.log.slice(2), ["DEL second", "DEL first"]);
    await assert.rejects(t.runtime.add({ containerId: "b", netns: t.netns.path }), {
      code: "unavailable",
      message: /no network configuration in/,
    });
  });

  test("an ADD that fails leaves a record, from which DEL goes through the whole chain", async () => {
    await using t = await setting({}, { second: { add: () => Promise.reject(new Error("no room")) } });
    await assert.rejects(t.runtime.add({ containerId: "a", netns: t.netns.path }), {
      message: "attach eth0 of a to network net: no room",
    });
    assert.equal(await t.runtime.cachedResult({ containerId: "a" }), undefined);
    assert.equal((await t.runtime.attachments()).length, 1);
    await t.runtime.del({ containerId: "a", netns: t.netns.path });
    assert.deepEqual(t.log, ["ADD first", "DEL second", "DEL first"]);
    assert.deepEqual(await t.runtime.attachments(), []);
  });

  test("a chain with a plugin that is not there is refused before anything is called or on record", async () => {
    await using t = await setting({ plugins: [{ type: "first" }, { type: "absent" }] });
    await assert.rejects(
      t.runtime.add({ containerId: "a", netns: t.netns.path }),
      /attach eth0 of a to network net: plugin absent: no such executable/,
    );
    assert.deepEqual(t.log, []);
    assert.deepEqual(await t.runtime.attachments(), []);
    t.configure(network());
    await t.runtime.load();
    await t.runtime.del({ containerId: "a" }); // with the mended configuration
    assert.deepEqual(t.log, ["DEL second", "DEL first"]);
  });

  test("capability arguments reach the plugins that declare the capability, and no others", async () => {
    await using t = await setting({
      plugins: [{ type: "first", capabilities: { mac: true, ips: false } }, { type: "second" }],
    });
    await t.runtime.add({ containerId: "a", netns: t.netns.path, capabilityArgs: { mac: "m", ips: ["i"] } });
    assert.deepEqual(t.calls[0]?.config.runtimeConfig, { mac: "m" });
    assert.equal(t.calls[1]?.config.runtimeConfig, undefined);
    await t.runtime.del({ containerId: "a" });
    assert.deepEqual(t.calls.at(-1)?.config.runtimeConfig, { mac: "m" });
  });

  test("old versions get what they know: no result on DEL before 0.4.0, no CHECK, no STATUS, no GC", async () => {
    await using t = await setting({ cniVersion: "0.3.1" });
    const result = await t.runtime.add({ containerId: "a", netns: t.netns.path });
    assert.equal(result.cniVersion, "0.3.1");
    await t.runtime.check({ containerId: "a" });
    assert.ok((await t.runtime.pluginStatus()).ready);
    await t.runtime.gc({ validAttachments: [{ containerId: "a", ifname: "eth0" }] });
    await t.runtime.del({ containerId: "a" });
    assert.equal(t.calls.at(-1)?.prevResult, undefined);
    assert.deepEqual(t.log, ["ADD first", "ADD second", "DEL second", "DEL first"]);
  });

  test("GC detaches what is on record and not valid, then asks every plugin with both keys", async () => {
    await using t = await setting();
    await t.runtime.add({ containerId: "a", netns: t.netns.path });
    await t.runtime.add({ containerId: "b", netns: t.netns.path });
    t.log.length = 0;
    await t.runtime.gc({ validAttachments: () => [{ containerId: "b", ifname: "eth0" }] });
    assert.deepEqual(t.log, ["DEL second", "DEL first", "GC first", "GC second"]);
    const expected = [{ containerID: "b", ifname: "eth0" }];
    assert.deepEqual(t.calls.at(-1)?.config["cni.dev/valid-attachments"], expected);
    assert.deepEqual(t.calls.at(-1)?.config["cni.dev/attachments"], expected);
    assert.deepEqual(
      (await t.runtime.attachments()).map(({ containerId }) => containerId),
      ["b"],
    );
  });

  test("disableGC and disableCheck are obeyed", async () => {
    await using t = await setting({ disableGC: true, disableCheck: "true" });
    await t.runtime.add({ containerId: "a", netns: t.netns.path });
    await t.runtime.gc({ validAttachments: [] });
    await t.runtime.check({ containerId: "a" });
    assert.deepEqual(t.log, ["ADD first", "ADD second"]);
  });

  test("a plugin that is not ready makes the network not ready, and says why", async () => {
    await using t = await setting({}, { second: { status: () => Promise.reject(new Error("agent is down")) } });
    assert.ok(t.runtime.status().ready);
    assert.deepEqual(await t.runtime.pluginStatus(), {
      ready: false,
      reason: "network net is not ready: second: agent is down",
    });
  });

  test("bad ids, interface names and arguments are refused before anything is made", async () => {
    await using t = await setting();
    const netns = t.netns.path;
    await assert.rejects(t.runtime.add({ containerId: "../a", netns }), { cniCode: 4 });
    await assert.rejects(t.runtime.add({ containerId: "a", netns, ifname: "a/b" }), { cniCode: 4 });
    await assert.rejects(t.runtime.add({ containerId: "a", netns, ifname: "sixteen-letters!" }), { cniCode: 4 });
    await assert.rejects(t.runtime.add({ containerId: "a", netns, args: { K: "a;b=c" } }), { code: "invalid" });
    await assert.rejects(t.runtime.add({ containerId: "a", netns: "/nonexistent" }), {
      cniCode: 8,
      message: /is gone/,
    });
    assert.deepEqual(t.log, []);
  });

  test("every plugin call is a span with what went in and what came out", async () => {
    await using t = await setting();
    await using tracing = Tracing.start({});
    await t.runtime.add({ containerId: "a", netns: t.netns.path });
    const span = tracing.spans().find(({ name }) => name === "cni ADD second");
    assert.equal(span?.attributes["cni.plugin"], "second");
    assert.equal(span?.attributes["cni.in_process"], true);
    assert.match(String(span?.attributes["cni.stdin"]), /"prevResult"/);
    assert.match(String(span?.attributes["cni.stdout"]), /10\.0\.0\.2/);
  });
}
