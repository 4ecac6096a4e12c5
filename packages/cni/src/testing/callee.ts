import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { isJsonObject, type JsonObject } from "../json.ts";
import type { CniCommand, CniPlugin } from "../plugin.ts";
import { PluginInvoker } from "../plugin-invoker.ts";

/** One call as a runtime makes it, with what most tests do not care about left out. */
export interface CalleeCall {
  /** "a" unless told. */
  readonly containerId?: string;
  /** "" where the namespace is gone. */
  readonly netns?: string;
  /** "eth0" unless told. */
  readonly ifname?: string;
  /** CNI_ARGS. */
  readonly args?: string;
  /** CNI_PATH: where delegates of other makers are looked for. Upstream's own folder for upstream's unless told, none for ours. */
  readonly path?: string;
}

/** A plugin that tests call without knowing whose it is: the same inputs to Tripod's and to upstream's. */
export interface Callee {
  /** For names of tests. */
  readonly whose: string;
  /** The result of an ADD, an empty object for the others. Rejects with the plugin's own error. */
  call(command: CniCommand, stdin: JsonObject, call?: CalleeCall): Promise<JsonObject>;
}

/** Tripod's plugin, called in process; `delegates` are found by type. */
export function ownCallee(plugin: CniPlugin, delegates: readonly CniPlugin[] = []): Callee {
  const plugins = new Map([plugin, ...delegates].map((each) => [each.name, each]));
  return {
    whose: "Tripod's",
    async call(command, stdin, { containerId = "a", netns = "", ifname = "eth0", args = "", path } = {}) {
      const { signal } = new AbortController();
      const dirs = path === undefined ? [] : [path];
      const invoker = new PluginInvoker({ binDirs: dirs, plugins });
      const request = { command, containerId, netns, ifname, args, path: dirs, stdin, signal };
      return (await invoker.invokeOwn(plugin, request)) ?? {};
    },
  };
}

/** Debian's containernetworking-plugins; TRIPOD_TEST_CNI_BIN names a folder with others, such as newer ones built from source. */
export const upstreamDir = process.env.TRIPOD_TEST_CNI_BIN ?? "/usr/lib/cni";

/** Why upstream's plugin cannot be called here; false when it can. */
export const noUpstream = (name: string): string | false =>
  existsSync(`${upstreamDir}/${name}`)
    ? false
    : `upstream's ${name} is not in ${upstreamDir} (containernetworking-plugins)`;

/** Upstream's executable. */
export const upstreamCallee = (name: string): Callee => ({
  whose: "upstream's",
  async call(command, stdin, { containerId = "a", netns = "", ifname = "eth0", args = "", path = upstreamDir } = {}) {
    const { status, stdout, stderr } = spawnSync(`${upstreamDir}/${name}`, {
      encoding: "utf8",
      input: JSON.stringify({ ...stdin, type: name }),
      env: {
        PATH: process.env.PATH,
        CNI_COMMAND: command,
        CNI_CONTAINERID: containerId,
        CNI_NETNS: netns,
        CNI_IFNAME: ifname,
        CNI_ARGS: args,
        CNI_PATH: path,
      },
    });
    if (status !== 0) throw new Error(`upstream's ${name} ${command}: ${stdout}${stderr}`);
    const printed: unknown = stdout === "" ? {} : JSON.parse(stdout);
    return isJsonObject(printed) ? printed : {};
  },
});
