import assert from "node:assert/strict";
import { test } from "node:test";
import { FreshNetns } from "@tripod/linux/testing";
import type { JsonObject } from "../json.ts";
import type { CniPlugin } from "../plugin.ts";
import { PluginInvoker } from "../plugin-invoker.ts";
import type { PluginOutcome } from "../plugin-main.ts";
import { currentVersion } from "../version.ts";
import { networkSnapshot, snapshotDifferences } from "./network-snapshot.ts";
import { executableSubject, pluginSubject } from "./plugin-subject.ts";

interface CommonOptions {
  /** A configuration with which ADD succeeds; name and version are put in. A function is given a container's id before each call. */
  readonly config: JsonObject | ((containerId: string) => JsonObject);
  /** The interface that it is asked to make; "eth0" unless told. */
  readonly ifname?: string;
  /** Puts into a fresh namespace what plugins before it in a chain would have made. */
  readonly prepare?: (netns: string) => void;
}

export interface ContractOptions extends CommonOptions {
  readonly plugin: CniPlugin;
  /** Other plugins that it may delegate to. */
  readonly delegates?: readonly CniPlugin[];
}

export interface ExecutableContractOptions extends CommonOptions {
  /** The path of the plugin, whoever wrote it and in what language. */
  readonly executable: string;
  /** The folder of its delegates; its own unless told. */
  readonly path?: string;
  /** Begins the tests' names; the plugin's type unless told. */
  readonly title?: string;
}

/**
 * What every CNI plugin must do, whatever it is for: the protocol of the specification, and Tripod's own demand that DEL and GC may
 * come late, twice or without the namespace. Registers tests; call it at the top of a test file. Needs root. Of an executable it also
 * prints what ADD changes in the container's namespace.
 */
export function testPluginContract(options: ContractOptions | ExecutableContractOptions): void {
  const own = "plugin" in options;
  const subject = own
    ? pluginSubject(options.plugin, options.delegates ?? [])
    : executableSubject(options.executable, options.path);
  const title = "title" in options ? (options.title ?? subject.name) : subject.name;
  const { config, ifname = "eth0", prepare } = options;
  const newest = subject.versions.includes(currentVersion) ? currentVersion : (subject.versions.at(-1) ?? "");
  const stdin = (more: JsonObject = {}, id = "contract-1"): JsonObject => ({
    cniVersion: newest,
    name: "contract",
    type: subject.name,
    ...(typeof config === "function" ? config(id) : config),
    ...more,
  });
  const fresh = (): FreshNetns => {
    const netns = new FreshNetns();
    prepare?.(netns.path);
    return netns;
  };
  const run = (env: Record<string, string>, input: JsonObject | (() => string) = stdin()): Promise<PluginOutcome> =>
    subject.run(env, typeof input === "function" ? input : () => JSON.stringify(input));
  const environment = (command: string, netns: string, id = "contract-1"): Record<string, string> => ({
    CNI_COMMAND: command,
    CNI_CONTAINERID: id,
    CNI_NETNS: netns,
    CNI_IFNAME: ifname,
    CNI_PATH: subject.path,
  });
  const succeed = async (env: Record<string, string>, input?: JsonObject): Promise<string> => {
    const outcome = await run(env, input);
    assert.equal(outcome.exitCode, 0, outcome.stdout);
    return outcome.stdout;
  };

  test(`${title}: VERSION answers without reading standard input`, async () => {
    const outcome = await run({ CNI_COMMAND: "VERSION" }, () => assert.fail("standard input was read"));
    assert.equal(outcome.exitCode, 0);
    const told: unknown = JSON.parse(outcome.stdout);
    assert.ok(typeof told === "object" && told !== null && "cniVersion" in told && "supportedVersions" in told);
    assert.deepEqual(told.supportedVersions, subject.versions);
    assert.ok(subject.versions.includes(String(told.cniVersion)) && subject.versions.length > 0);
  });

  test(`${title}: all missing variables are named at once, in JSON on standard output`, async () => {
    const outcome = await run({ CNI_COMMAND: "ADD" });
    assert.equal(outcome.exitCode, 1);
    const error: unknown = JSON.parse(outcome.stdout);
    assert.ok(typeof error === "object" && error !== null && "code" in error && "msg" in error);
    assert.equal(error.code, 4);
    for (const name of ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"])
      assert.match(String(error.msg), new RegExp(name));
  });

  test(`${title}: ADD, CHECK and a repeated DEL succeed in every version`, async (t) => {
    for (const cniVersion of subject.versions) {
      using netns = fresh();
      const before = networkSnapshot({ netns: netns.path });
      const printed: unknown = JSON.parse(await succeed(environment("ADD", netns.path), stdin({ cniVersion })));
      if (!own && cniVersion === newest)
        for (const change of snapshotDifferences(before, networkSnapshot({ netns: netns.path }))) t.diagnostic(change);
      assert.ok(typeof printed === "object" && printed !== null && "cniVersion" in printed);
      assert.equal(printed.cniVersion, cniVersion);
      // JSON.parse gave it
      const prevResult = printed as JsonObject;
      const late = stdin({ cniVersion, prevResult });
      if (cniVersion >= "0.4.0") await succeed(environment("CHECK", netns.path), late);
      for (let time = 0; time < 2; time += 1) await succeed(environment("DEL", netns.path), late);
    }
  });

  test(`${title}: DEL succeeds without namespace and result, and what it freed can be had again`, async () => {
    for (let time = 0; time < 2; time += 1) {
      {
        using netns = fresh();
        await succeed(environment("ADD", netns.path));
      }
      await succeed(environment("DEL", ""));
      await succeed(environment("DEL", "/nonexistent/netns"));
    }
  });

  test(`${title}: ADD into a namespace that is gone fails, or can be taken back where it needs none`, async () => {
    const outcome = await run(environment("ADD", "/nonexistent/netns"));
    // IPAM plugins of others do not look at it; ours do.
    if (!own && outcome.exitCode === 0) return void (await succeed(environment("DEL", "/nonexistent/netns")));
    assert.equal(outcome.exitCode, 1);
    assert.match(outcome.stdout, own ? /"code": 8,/ : /"code": *\d+/);
  });

  if (newest !== currentVersion) return;

  test(`${title}: GC takes what no valid attachment has and leaves the rest`, async () => {
    using kept = fresh();
    using stale = fresh();
    const result: unknown = JSON.parse(await succeed(environment("ADD", kept.path, "kept"), stdin({}, "kept")));
    await succeed(environment("ADD", stale.path, "stale"), stdin({}, "stale"));
    const attachments = [{ containerID: "kept", ifname }];
    await succeed({ CNI_COMMAND: "GC", CNI_PATH: subject.path }, stdin({ "cni.dev/valid-attachments": attachments }));
    const prevResult = result as JsonObject; // as above
    await succeed(environment("CHECK", kept.path, "kept"), stdin({ prevResult }, "kept"));
    await succeed(environment("DEL", kept.path, "kept"), stdin({ prevResult }, "kept"));
    await succeed(environment("DEL", stale.path, "stale"), stdin({}, "stale"));
  });

  test(`${title}: STATUS succeeds, and is refused in a version that has no such command`, async () => {
    await succeed({ CNI_COMMAND: "STATUS", CNI_PATH: subject.path });
    const outcome = await run({ CNI_COMMAND: "STATUS", CNI_PATH: subject.path }, stdin({ cniVersion: "1.0.0" }));
    assert.equal(outcome.exitCode, 1);
    assert.match(outcome.stdout, /"code": 1,/);
  });

  if (!own) return;
  // To others a list that is missing may be an empty one.
  test(`${title}: GC that names no list of attachments takes nothing; one that names none takes all`, async () => {
    using netns = fresh();
    const result: unknown = JSON.parse(await succeed(environment("ADD", netns.path)));
    const prevResult = result as JsonObject; // as above
    const gc = { CNI_COMMAND: "GC", CNI_PATH: subject.path };
    await succeed(gc);
    await succeed(environment("CHECK", netns.path), stdin({ prevResult }));
    await succeed(gc, stdin({ "cni.dev/valid-attachments": null }));
    await succeed(environment("DEL", netns.path), stdin({ prevResult }));
  });

  test(`${title}: runs in process as it does as a program`, async () => {
    using netns = fresh();
    const { plugin, delegates = [] } = options;
    const plugins = new Map([plugin, ...delegates].map((each) => [each.name, each]));
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
