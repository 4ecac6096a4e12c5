import { writeFileSync } from "node:fs";
import { basename } from "node:path";
import { messageOf } from "@tripod/base";
import { CniError, cniCodes, errorToJson } from "./cni-error.ts";
import { isJsonObject, type JsonObject } from "./json.ts";
import type { CniCommand, CniPlugin } from "./plugin.ts";
import { PluginInvoker } from "./plugin-invoker.ts";
import { currentVersion, unnamedVersion } from "./version.ts";

/** What a plugin's process is given and gives back; a test may hand in its own. */
export interface PluginProcess {
  /** The plugin's name: the last part of the path under which it was started. */
  readonly name: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Called once, and never for VERSION. */
  readStdin(): string;
}

/** Exit code, and what goes to the two streams. */
export interface PluginOutcome {
  readonly exitCode: 0 | 1;
  readonly stdout: string;
  readonly stderr: string;
}

const required: Readonly<Record<CniCommand, readonly string[]>> = {
  ADD: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"],
  CHECK: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"],
  DEL: ["CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"],
  GC: ["CNI_PATH"],
  STATUS: ["CNI_PATH"],
};

const isCommand = (text: string): text is CniCommand => Object.hasOwn(required, text);

const print = (object: JsonObject): string => `${JSON.stringify(object, undefined, 2)}\n`;

function parseStdin(text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new CniError(cniCodes.decoding, `configuration on standard input: not JSON: ${messageOf(cause)}`, { cause });
  }
  if (isJsonObject(value)) return value;
  throw new CniError(cniCodes.decoding, "configuration on standard input: not a JSON object");
}

async function call(
  plugins: ReadonlyMap<string, CniPlugin>,
  plugin: CniPlugin,
  process: PluginProcess,
): Promise<string> {
  const { env } = process;
  const command = env.CNI_COMMAND ?? "";
  if (command === "VERSION") return print({ cniVersion: currentVersion, supportedVersions: plugin.versions });
  if (!isCommand(command)) {
    throw new CniError(cniCodes.invalidEnvironment, `unknown CNI_COMMAND: ${JSON.stringify(command.slice(0, 40))}`);
  }
  const missing = required[command].filter((name) => (env[name] ?? "") === "");
  if (missing.length > 0) {
    throw new CniError(cniCodes.invalidEnvironment, `required env variables [${missing.join(",")}] missing`);
  }
  const stdin = parseStdin(process.readStdin());
  const path = (env.CNI_PATH ?? "").split(":").filter((dir) => dir !== "");
  const invoker = new PluginInvoker({ binDirs: path, plugins });
  const result = await invoker.invokeOwn(plugin, {
    command,
    containerId: env.CNI_CONTAINERID ?? "",
    netns: env.CNI_NETNS ?? "",
    ifname: env.CNI_IFNAME ?? "",
    args: env.CNI_ARGS ?? "",
    path,
    stdin,
    netnsOverride: /^(true|1)$/i.test(env.CNI_NETNS_OVERRIDE ?? ""),
    // The process lives for this one call; whoever wants to end it ends the process.
    signal: new AbortController().signal,
  });
  return result === undefined ? "" : print(result);
}

/** One run of a plugin executable, without touching the process: see runPluginMain(). */
export async function pluginOutcome(
  plugins: ReadonlyMap<string, CniPlugin>,
  process: PluginProcess,
): Promise<PluginOutcome> {
  const plugin = plugins.get(process.name);
  let cniVersion = unnamedVersion;
  const tapped: PluginProcess = {
    ...process,
    readStdin() {
      const text = process.readStdin();
      cniVersion = /"cniVersion"\s*:\s*"([0-9.]{1,20})"/.exec(text)?.[1] ?? cniVersion;
      return text;
    },
  };
  try {
    if (plugin === undefined) {
      const names = [...plugins.keys()].join(", ");
      throw new CniError(
        cniCodes.invalidEnvironment,
        `no plugin is called ${JSON.stringify(process.name)}; there are ${names}`,
      );
    }
    if ((process.env.CNI_COMMAND ?? "") === "") {
      const versions = plugin.versions.join(", ");
      const about = `CNI plugin ${plugin.name} of Tripod\nCNI protocol versions supported: ${versions}\n`;
      return { exitCode: 0, stdout: "", stderr: about };
    }
    return { exitCode: 0, stdout: await call(plugins, plugin, tapped), stderr: "" };
  } catch (error) {
    return { exitCode: 1, stdout: print(errorToJson(error, cniVersion)), stderr: "" };
  }
}

/**
 * The main of an executable that holds one plugin or several: which one runs, the name says under which it was started. Speaks
 * the specification's protocol on environment and standard streams, and ends the process with 0 or 1.
 */
export async function runPluginMain(plugins: readonly CniPlugin[], readStdin: () => string): Promise<void> {
  const outcome = await pluginOutcome(new Map(plugins.map((plugin) => [plugin.name, plugin])), {
    name: basename(process.argv[1] ?? ""),
    env: process.env,
    readStdin,
  });
  // Straight to the descriptors: setting up Node's streams would take milliseconds.
  if (outcome.stderr !== "") writeFileSync(2, outcome.stderr);
  if (outcome.stdout !== "") writeFileSync(1, outcome.stdout);
  process.exitCode = outcome.exitCode;
}
