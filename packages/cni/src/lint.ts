import { stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isNodeError, isTripodError, messageOf, TripodError } from "@tripod/base";
import { filesIn, readText } from "./conf-dir.ts";
import { Fields, isJsonObject, type JsonObject } from "./json.ts";
import { JsonFile, type JsonPath } from "./json-file.ts";
import { type NetworkConfig, parseNetworkConfig, parsePluginConfig, type PluginConfig } from "./network-config.ts";
import type { CniPlugin, PluginCall } from "./plugin.ts";
import type { PluginInvoker } from "./plugin-invoker.ts";

/** What is wrong in a configuration file, and where. */
export interface LintFinding {
  /** An error keeps the network from working as it is written; a warning is what nobody will heed. */
  readonly severity: "error" | "warning";
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

export interface LintReport {
  /** The networks' files, in the order in which they count. */
  readonly files: readonly string[];
  readonly findings: readonly LintFinding[];
}

/** Keys of the specification, which any plugin's configuration may have, in lower case. */
const common = new Set(
  (
    "cniVersion cniVersions name type plugins disableCheck disableGC loadOnlyInlinedPlugins " +
    "capabilities runtimeConfig args ipam dns ipMasq prevResult"
  )
    .toLowerCase()
    .split(" "),
);

/** "FILE:LINE:COLUMN: why", as parsing says it. */
function findingOf(file: string, severity: LintFinding["severity"], error: unknown): LintFinding {
  const text = messageOf(error);
  const [, line = "1", column = "1", message = text] = /^.*?:(\d+):(\d+): ([^]*)$/.exec(text) ?? [];
  return { severity, file, line: Number(line), column: Number(column), message };
}

const callOf = (network: NetworkConfig, config: JsonObject): PluginCall => ({
  command: "STATUS",
  containerId: "",
  ifname: "eth0",
  netns: "",
  args: new Map(),
  network: network.name,
  cniVersion: network.cniVersion,
  config: { cniVersion: network.cniVersion, name: network.name, ...config },
  validAttachments: [],
  signal: new AbortController().signal,
  delegate: (type) => Promise.reject(new TripodError("internal", `lint: ${type} is not to be asked`)),
});

/** The keys that a message names in quotes, innermost last; those that are not there do not matter to a position. */
const keysIn = (message: string): string[] => [...message.matchAll(/"([^"\s]+)"/g)].map(([, key = ""]) => key);

class FileLint {
  readonly findings: LintFinding[] = [];
  readonly #document: JsonFile;
  readonly #network: NetworkConfig;
  readonly #invoker: PluginInvoker;

  constructor(document: JsonFile, network: NetworkConfig, invoker: PluginInvoker) {
    this.#document = document;
    this.#network = network;
    this.#invoker = invoker;
  }

  say(severity: LintFinding["severity"], path: JsonPath, why: string): void {
    this.findings.push(findingOf(this.#document.file, severity, this.#document.problem(path, why)));
  }

  plugin(path: JsonPath, { type, config }: PluginConfig): void {
    const own = this.#own(type, [...path, "type"]);
    if (own !== undefined) this.#validate(own, { path, config, watched: config, prefix: [] });
    const { ipam } = config;
    if (!isJsonObject(ipam) || typeof ipam.type !== "string" || ipam.type === "" || ipam.type === type) return;
    const ownIpam = this.#own(ipam.type, [...path, "ipam", "type"]);
    if (ownIpam !== undefined) this.#validate(ownIpam, { path, config, watched: ipam, prefix: ["ipam"] });
  }

  /** The plugin of Tripod's that will be called; undefined, and said, where there is none at all. */
  #own(type: string, path: JsonPath): CniPlugin | undefined {
    try {
      const located = this.#invoker.locate(type);
      return located.kind === "in-process" ? located.plugin : undefined;
    } catch (error) {
      this.say("error", path, messageOf(error));
      return undefined;
    }
  }

  #validate(
    plugin: CniPlugin,
    {
      path,
      config,
      watched,
      prefix,
    }: {
      readonly path: JsonPath;
      readonly config: JsonObject;
      readonly watched: JsonObject;
      readonly prefix: JsonPath;
    },
  ): void {
    const call = callOf(this.#network, config);
    const asked = Fields.watch(prefix.length === 0 ? call.config : watched);
    try {
      plugin.validate(call);
    } catch (error) {
      const message = messageOf(error);
      this.say("error", [...path, ...prefix, ...keysIn(message)], message);
      return;
    }
    for (const key of Object.keys(watched)) {
      if (asked.has(key.toLowerCase()) || common.has(key.toLowerCase())) continue;
      this.say("warning", [...path, ...prefix, key], `${plugin.name} has no key "${key}"; nobody heeds it`);
    }
  }
}

async function lintFile(file: string, invoker: PluginInvoker, seen: Map<string, string>): Promise<LintFinding[]> {
  try {
    const text = await readText(file);
    const network = parseNetworkConfig(file, text);
    const document = JsonFile.parse(file, text);
    const lint = new FileLint(document, network, invoker);
    const before = seen.get(network.name);
    if (before !== undefined)
      lint.say("warning", ["name"], `network ${network.name} is that of ${before}, which counts`);
    seen.set(network.name, before ?? file);
    const listed = isJsonObject(document.value) && document.value.plugins !== undefined;
    for (const [index, plugin] of network.plugins.entries()) lint.plugin(listed ? ["plugins", index] : [], plugin);
    if (network.loadOnlyInlinedPlugins) return lint.findings;
    const more = await filesIn(join(dirname(file), network.name), [".conf"]);
    return [...lint.findings, ...(await Promise.all(more.map((each) => lintPlugin(each, network, invoker)))).flat()];
  } catch (error) {
    if (!isTripodError(error, "invalid")) throw error;
    return [findingOf(file, "error", error)];
  }
}

/** A plugin in a file of its own. */
async function lintPlugin(file: string, network: NetworkConfig, invoker: PluginInvoker): Promise<LintFinding[]> {
  try {
    const text = await readText(file);
    const lint = new FileLint(JsonFile.parse(file, text), network, invoker);
    lint.plugin([], parsePluginConfig(file, text));
    return lint.findings;
  } catch (error) {
    if (!isTripodError(error, "invalid")) throw error;
    return [findingOf(file, "error", error)];
  }
}

/**
 * Finds what is wrong in a configuration file, or in every one of a folder: JSON, what the specification demands, each key of the plugins that
 * are Tripod's own, keys that nobody knows, plugins that are not installed. Reads, and does nothing else. Throws "not-found" when there is
 * nothing at `path`.
 */
export async function lintNetworks(path: string, invoker: PluginInvoker): Promise<LintReport> {
  let files: readonly string[];
  try {
    files = (await stat(path)).isDirectory() ? await filesIn(path, [".conf", ".conflist", ".json"]) : [path];
  } catch (error) {
    if (!isNodeError(error, "ENOENT", "ENOTDIR")) throw error;
    throw new TripodError("not-found", `lint ${path}: there is no such file or folder; name one`, { cause: error });
  }
  const findings: LintFinding[] = [];
  const seen = new Map<string, string>();
  for (const file of files) findings.push(...(await lintFile(file, invoker, seen)));
  return { files, findings };
}
