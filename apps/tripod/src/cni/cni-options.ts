import { type Layout, layoutOf, silentLogger, TripodError } from "@tripod/base";
import { CniRuntime, type JsonObject, type JsonValue } from "@tripod/cni";
import { ownPlugins } from "@tripod/plugin-bundle";
import type { Command } from "commander";
import { callTrace } from "./call-trace.ts";

/** Options that every `tripod cni` command takes. */
export interface CniOptions {
  readonly root?: string;
  readonly confDir?: string;
  /** Folders separated by ":", in order. */
  readonly binDir?: string;
  readonly cacheDir?: string;
  readonly json?: true;
  readonly trace?: true;
}

export const withCniOptions = (command: Command): Command =>
  command
    .option("--root <dir>", "the instance's folder; its layout gives the folders that are not named")
    .option("--conf-dir <dir>", "network configurations (/etc/cni/net.d)")
    .option("--bin-dir <dirs>", "plugin executables, folders separated by : (/opt/cni/bin)")
    .option("--cache-dir <dir>", "the result cache (/var/lib/cni)")
    .option("--json", "as JSON");

/** Options of the commands that call plugins. */
export const withCallOptions = (command: Command): Command =>
  withCniOptions(command).option(
    "--trace",
    "print what goes into each plugin and what comes out, on standard error; with --json as lines of JSON",
  );

/** The folders that the options name, those of the layout for the rest. */
export function foldersOf(options: CniOptions): {
  layout: Layout;
  confDir: string;
  binDirs: readonly string[];
  cacheDir: string;
} {
  const layout = layoutOf(options.root);
  return {
    layout,
    confDir: options.confDir ?? layout.cniConfDir,
    binDirs: options.binDir === undefined ? layout.cniBinDirs : options.binDir.split(":").filter((dir) => dir !== ""),
    cacheDir: options.cacheDir ?? layout.cniCacheDir,
  };
}

/** Opens the runtime for one command. The caller disposes of it. */
export async function openRuntime(options: CniOptions): Promise<CniRuntime> {
  const { confDir, binDirs, cacheDir } = foldersOf(options);
  const runtime = new CniRuntime({
    confDir,
    binDirs,
    cacheDir,
    plugins: ownPlugins,
    log: silentLogger,
    ...(options.trace === true && {
      onCall: callTrace((line) => process.stderr.write(`${line}\n`), options.json === true),
    }),
  });
  await runtime.load();
  return runtime;
}

/** `K=V` words as an object; for --args. */
export function parsePairs(words: readonly string[] | undefined): Record<string, string> | undefined {
  if (words === undefined) return undefined;
  return Object.fromEntries(
    words.map((word) => {
      const equals = word.indexOf("=");
      if (equals < 1) throw new TripodError("invalid", `--args ${word}: write KEY=VALUE`);
      return [word.slice(0, equals), word.slice(equals + 1)];
    }),
  );
}

/** A JSON object by capability; for --capability-args. */
export function parseCapabilities(text: string | undefined): Readonly<Record<string, JsonValue>> | undefined {
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new TripodError("invalid", `--capability-args ${text}: not JSON`, { cause });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as JsonObject; // parsed from JSON
  throw new TripodError(
    "invalid",
    `--capability-args ${text}: write an object by capability, such as {"portMappings":[…]}`,
  );
}

export const print = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

export const printJson = (value: unknown): void => print(JSON.stringify(value, undefined, 2));
