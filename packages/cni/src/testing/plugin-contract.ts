import assert from "node:assert/strict";
import { test } from "node:test";
import { FreshNetns } from "@tripod/linux/testing";
import type { JsonObject } from "../json.ts";
import type { CniPlugin } from "../plugin.ts";
import { PluginInvoker } from "../plugin-invoker.ts";
import { type PluginOutcome, pluginOutcome } from "../plugin-main.ts";
import { currentVersion, supportedVersions } from "../version.ts";

export interface ContractOptions {
  readonly plugin: CniPlugin;
  /** Other plugins that it may delegate to. */
  readonly delegates?: readonly CniPlugin[];
  /** A configuration with which ADD succeeds; name and version are put in. A function is given a container's id before each call. */
  readonly config: JsonObject | ((containerId: string) => JsonObject);
  /** The interface that it is asked to make; "eth0" unless told. */
  readonly ifname?: string;
  /** Puts into a fresh namespace what plugins before it in a chain would have made. */
  readonly prepare?: (netns: string) => void;
}

/**
 * What every CNI plugin must do, whatever it is for: the protocol of the specification, and Tripod's own demand that DEL and GC may
 * come late, twice or without the namespace. Registers tests; call it at the top of a test file. Needs root.
 */
export function testPluginContract({
  plugin,
  delegates = [],
  config,
  ifname = "eth0",
  prepare,
}: ContractOptions): void {
  const plugins = new Map([plugin, ...delegates].map((each) => [each.name, each]));
  const stdin = (more: JsonObject = {}, id = "contract-1"): JsonObject => ({
    cniVersion: currentVersion,
    name: "contract",
    type: plugin.name,
    ...(typeof config === "function" ? config(id) : config),
    ...more,
  });
  const fresh = (): FreshNetns => {
    const netns = new FreshNetns();
    prepare?.(netns.path);
    return netns;
  };
  const run = (env: Record<string, string>, input: JsonObject | (() => string) = stdin()): Promise<PluginOutcome> =>
    pluginOutcome(plugins, {
      name: plugin.name,
      env,
      readStdin: typeof input === "function" ? input : () => JSON.stringify(input),
    });
  const environment = (command: string, netns: string, id = "contract-1"): Record<string, string> => ({
    CNI_COMMAND: command,
    CNI_CONTAINERID: id,
    CNI_NETNS: netns,
    CNI_IFNAME: ifname,
    CNI_PATH: "/nonexistent",
  });
  const succeed = async (env: Record<string, string>, input?: JsonObject): Promise<string> => {
    const outcome = await run(env, input);
    assert.equal(outcome.exitCode, 0, outcome.stdout);
    return outcome.stdout;
  };

  test(`${plugin.name}: VERSION answers without reading standard input`, async () => {
    const outcome = await run({ CNI_COMMAND: "VERSION" }, () => assert.fail("standard input was read"));
    assert.equal(outcome.exitCode, 0);
    assert.deepEqual(JSON.parse(outcome.stdout), { cniVersion: currentVersion, supportedVersions: plugin.versions });
  });

  test(`${plugin.name}: all missing variables are named at once, in JSON on standard output`, async () => {
    const outcome = await run({ CNI_COMMAND: "ADD" });
    assert.equal(outcome.exitCode, 1);
    const error: unknown = JSON.parse(outcome.stdout);
    assert.ok(typeof error === "object" && error !== null && "code" in error && "msg" in error);
    assert.equal(error.code, 4);
    for (const name of ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"])
      assert.match(String(error.msg), new RegExp(name));
  });

  test(`${plugin.name}: ADD, CHECK and a repeated DEL succeed in every version`, async () => {
    for (const cniVersion of supportedVersions) {
      using netns = fresh();
      const printed: unknown = JSON.parse(await succeed(environment("ADD", netns.path), stdin({ cniVersion })));
      assert.ok(typeof printed === "object" && printed !== null && "cniVersion" in printed);
      assert.equal(printed.cniVersion, cniVersion);
      // JSON.parse gave it
      const prevResult = printed as JsonObject;
      const late = stdin({ cniVersion, prevResult });
      if (cniVersion >= "0.4.0") await succeed(environment("CHECK", netns.path), late);
      for (let time = 0; time < 2; time += 1) await succeed(environment("DEL", netns.path), late);
    }
  });

  test(`${plugin.name}: DEL succeeds without namespace and result, and what it freed can be had again`, async () => {
    for (let time = 0; time < 2; time += 1) {
      {
        using netns = fresh();
        await succeed(environment("ADD", netns.path));
      }
      await succeed(environment("DEL", ""));
      await succeed(environment("DEL", "/nonexistent/netns"));
    }
  });

  test(`${plugin.name}: GC takes what no valid attachment has and leaves the rest`, async () => {
    using kept = fresh();
    using stale = fresh();
    const result: unknown = JSON.parse(await succeed(environment("ADD", kept.path, "kept"), stdin({}, "kept")));
    await succeed(environment("ADD", stale.path, "stale"), stdin({}, "stale"));
    const attachments = [{ containerID: "kept", ifname }];
    await succeed({ CNI_COMMAND: "GC", CNI_PATH: "/nonexistent" }, stdin({ "cni.dev/valid-attachments": attachments }));
    const prevResult = result as JsonObject; // as above
    await succeed(environment("CHECK", kept.path, "kept"), stdin({ prevResult }, "kept"));
    await succeed(environment("DEL", kept.path, "kept"), stdin({ prevResult }, "kept"));
    await succeed(environment("DEL", stale.path, "stale"), stdin({}, "stale"));
  });

  test(`${plugin.name}: GC that names no list of attachments takes nothing; one that names none takes all`, async () => {
    using netns = fresh();
    const result: unknown = JSON.parse(await succeed(environment("ADD", netns.path)));
    const prevResult = result as JsonObject; // as above
    const gc = { CNI_COMMAND: "GC", CNI_PATH: "/nonexistent" };
    await succeed(gc);
    await succeed(environment("CHECK", netns.path), stdin({ prevResult }));
    await succeed(gc, stdin({ "cni.dev/valid-attachments": null }));
    await succeed(environment("DEL", netns.path), stdin({ prevResult }));
  });

  test(`${plugin.name}: STATUS succeeds, and is refused in a version that has no such command`, async () => {
    await succeed({ CNI_COMMAND: "STATUS", CNI_PATH: "/nonexistent" });
    const outcome = await run({ CNI_COMMAND: "STATUS", CNI_PATH: "/nonexistent" }, stdin({ cniVersion: "1.0.0" }));
    assert.equal(outcome.exitCode, 1);
    assert.match(outcome.stdout, /"code": 1,/);
  });

  test(`${plugin.name}: ADD into a namespace that is gone fails with code 8`, async () => {
    const outcome = await run(environment("ADD", "/nonexistent/netns"));
    assert.equal(outcome.exitCode, 1);
    assert.match(outcome.stdout, /"code": 8,/);
  });

  test(`${plugin.name}: runs in process as it does as a program`, async () => {
    using netns = fresh();
    const invoker = new PluginInvoker({ binDirs: [], plugins });
    const request = {
      containerId: "in-process",
      netns: netns.path,
      ifname,
      args: "",
      path: [],
      stdin: stdin(),
      signal: new AbortController().signal,
    };
    const result = await invoker.invoke(plugin.name, { ...request, command: "ADD" });
    assert.equal(result?.cniVersion, currentVersion);
    await invoker.invoke(plugin.name, { ...request, command: "DEL" });
  });
}
