import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { isNodeError, TripodError, writeFileAtomicSync } from "@tripod/base";
import { identify, signalProcess } from "../container/process.ts";
import type { ProcessIdentity } from "../records/container-record.ts";
import type { PluginName } from "./plugin.ts";

/** A plugin found in the folder of those that are started with the server. */
export interface InstalledPlugin extends PluginName {
  readonly path: string;
  readonly config: string;
}

const isAbsent = (error: unknown): boolean => isNodeError(error, "ENOENT");

function configOf(configDir: string, { index, name }: PluginName): string {
  for (const file of [`${index}-${name}.conf`, `${name}.conf`]) {
    try {
      return readFileSync(join(configDir, file), "utf8");
    } catch (error) {
      if (!isAbsent(error)) throw error;
    }
  }
  return "";
}

/** The programs in the folder that are named NN-name, by index. */
export function installedPlugins(dir: string, configDir: string): InstalledPlugin[] {
  let names: string[];
  try {
    names = readdirSync(dir);
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
  return names.toSorted().flatMap((file) => {
    const match = /^([0-9]{2})-([A-Za-z0-9_.+-]+)$/.exec(file);
    const path = join(dir, file);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (match?.[1] === undefined || match[2] === undefined || stat === undefined) return [];
    if (!stat.isFile() || (stat.mode & 0o111) === 0) return [];
    const known = { index: match[1], name: match[2] };
    return [{ ...known, path, config: configOf(configDir, known) }];
  });
}

/** A started plugin, and its end of the connection. Disposing it kills the process. */
export interface LaunchedPlugin extends Disposable {
  readonly trunk: Duplex;
}

/**
 * Starts a plugin with its connection as file 3. Its process is put on file below `recordDir`: a server that is killed leaves it behind, and
 * the next one ends it.
 */
export function launchPlugin({ path, index, name }: InstalledPlugin, recordDir: string): LaunchedPlugin {
  const child = spawn(path, [], {
    env: { PATH: process.env.PATH, NRI_PLUGIN_NAME: name, NRI_PLUGIN_IDX: index, NRI_PLUGIN_SOCKET: "3" },
    stdio: ["ignore", "ignore", "ignore", "pipe"],
  });
  child.on("error", () => {}); // the connection ends, which is told
  const trunk = child.stdio[3] as Duplex | null; // a "pipe" beyond 2 is a socket of both directions
  const started = child.pid === undefined ? undefined : identify(child.pid);
  if (trunk === null || trunk === undefined || started === undefined) {
    throw new TripodError("failed-precondition", `nri: start plugin ${path}: it did not start`);
  }
  const record = join(recordDir, `${index}-${name}`);
  mkdirSync(recordDir, { recursive: true, mode: 0o700 });
  writeFileAtomicSync(record, JSON.stringify(started));
  return {
    trunk,
    [Symbol.dispose]() {
      end(child);
      rmSync(record, { force: true });
    },
  };
}

function end(child: ChildProcess): void {
  if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
}

/** Ends the plugins that a killed server has left. */
export function endLeftPlugins(recordDir: string): void {
  let names: string[];
  try {
    names = readdirSync(recordDir);
  } catch (error) {
    if (isAbsent(error)) return;
    throw error;
  }
  for (const name of names) {
    const file = join(recordDir, name);
    signalProcess(JSON.parse(readFileSync(file, "utf8")) as ProcessIdentity, 9); // written by launchPlugin()
    rmSync(file);
  }
}
