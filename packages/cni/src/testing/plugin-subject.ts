import { spawnSync } from "node:child_process";
import { basename, dirname } from "node:path";
import { isJsonObject } from "../json.ts";
import type { CniPlugin } from "../plugin.ts";
import { type PluginOutcome, pluginOutcome } from "../plugin-main.ts";

/** What the contract's suite asks: a plugin of the SDK, in process, or anybody's executable. */
export interface PluginSubject {
  /** The type under which configurations call it. */
  readonly name: string;
  readonly versions: readonly string[];
  /** CNI_PATH for its calls. */
  readonly path: string;
  /** One call; standard input is read, or not, as the plugin does. */
  run(env: Readonly<Record<string, string>>, readStdin: () => string): Promise<PluginOutcome>;
}

/** `delegates` are found by type. */
export function pluginSubject(plugin: CniPlugin, delegates: readonly CniPlugin[]): PluginSubject {
  const plugins = new Map([plugin, ...delegates].map((each) => [each.name, each]));
  return {
    name: plugin.name,
    versions: plugin.versions,
    path: "/nonexistent",
    run: (env, readStdin) => pluginOutcome(plugins, { name: plugin.name, env, readStdin }),
  };
}

/** An executable, of any language; its delegates are in its own folder unless told. Throws when it does not answer to VERSION. */
export function executableSubject(file: string, path = dirname(file)): PluginSubject {
  const call = (env: Readonly<Record<string, string>>, input: string): PluginOutcome => {
    const { status, stdout, stderr } = spawnSync(file, {
      encoding: "utf8",
      input,
      env: { PATH: process.env.PATH, ...env },
      timeout: 60_000,
    });
    return { exitCode: status === 0 ? 0 : 1, stdout, stderr };
  };
  const { stdout } = call({ CNI_COMMAND: "VERSION" }, "{}");
  const told: unknown = JSON.parse(stdout);
  const versions = isJsonObject(told) && Array.isArray(told.supportedVersions) ? told.supportedVersions : [];
  return {
    name: basename(file),
    versions: versions.filter((version) => typeof version === "string"),
    path,
    run: (env, readStdin) => Promise.resolve(call(env, env.CNI_COMMAND === "VERSION" ? "{}" : readStdin())),
  };
}
