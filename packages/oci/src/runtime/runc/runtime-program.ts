import { basename } from "node:path";
import { isTripodError, runCommand } from "@tripod/base";
import type { RuntimeAbilities } from "../low-level-runtime.ts";
import { findProgram } from "./find-program.ts";

/** An OCI runtime's command line. */
export interface RuntimeProgram {
  /** The program, by its path or to be found. */
  readonly runtime: string;
  /** Options that stand before every subcommand, beside --root. */
  readonly arguments: readonly string[];
  /** The runtime's --root. */
  readonly rootDir: string;
}

/** What stands before the subcommand. */
export const globalArguments = (program: Omit<RuntimeProgram, "runtime">): string[] => [
  ...program.arguments,
  `--root=${program.rootDir}`,
];

/** Where runtimes differ that are called alike. */
export interface Dialect {
  /** A created container's first process waits for somebody to read runc's fifo; of the others only `start` knows how. */
  readonly startsThroughFifo: boolean;
  /** What `exec` runs is no process of this kernel, so that killing it takes `kill --pid`. */
  readonly hasKernelOfItsOwn: boolean;
  /** `exec` gives a process the user, environment and folder of the container's first one; else they have to be said. */
  readonly execInherits: boolean;
}

/** By the first word that `--version` prints, which a renamed program keeps. */
export const dialectOf = (versionText: string): Dialect => {
  const name = /^[^\s]+/.exec(versionText)?.[0] ?? "";
  return {
    startsThroughFifo: name === "runc",
    hasKernelOfItsOwn: name === "runsc",
    execInherits: name !== "youki",
  };
};

/** `runc version 1.1.5+ds1` and the like; the program's name stands in it. */
async function versionText(runtime: string): Promise<string> {
  const { stdout } = await runCommand(findProgram(runtime), ["--version"], { timeoutMs: 10_000 });
  return stdout.toString().trim().split("\n")[0] ?? "";
}

/** What `features` says of mounts; the specification's features.md names the fields. */
export function parseFeatures(text: string): Omit<RuntimeAbilities, "version" | "sharesKernel"> {
  const none = { recursiveReadonly: false, userNamespaces: false };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return none; // a runtime without the command may print its help
  }
  const at = (from: unknown, key: string): unknown =>
    typeof from === "object" && from !== null ? Reflect.get(from, key) : undefined;
  const list = (from: unknown): unknown[] => (Array.isArray(from) ? from : []);
  const linux = at(value, "linux");
  return {
    recursiveReadonly: list(at(value, "mountOptions")).includes("rro"),
    userNamespaces: list(at(linux, "namespaces")).includes("user"),
  };
}

/** Version, dialect and features of an installed runtime; "not-found" when it is not. */
export async function probeProgram(runtime: string): Promise<RuntimeAbilities & Dialect> {
  const version = await versionText(runtime);
  const features = await runCommand(findProgram(runtime), ["features"], { okExitCodes: "any", timeoutMs: 10_000 });
  const dialect = dialectOf(version);
  const parsed = parseFeatures(features.exitCode === 0 ? features.stdout.toString() : "");
  return {
    // crun 1.8 and older runscs have no such command: what they do not say, they do not have.
    ...parsed,
    // crun has had them before it had `features`. What becomes of owners behind a second kernel, nobody has tried yet.
    userNamespaces: (parsed.userNamespaces || version.startsWith("crun ")) && !dialect.hasKernelOfItsOwn,
    ...dialect,
    sharesKernel: !dialect.hasKernelOfItsOwn,
    version: version === "" ? basename(runtime) : version,
  };
}

/** What `state` says of a container, "created" or "running" among others; undefined when it knows none. */
export async function statusOf(id: string, program: RuntimeProgram): Promise<string | undefined> {
  try {
    const { stdout } = await runCommand(program.runtime, [...globalArguments(program), "state", id]);
    const state: unknown = JSON.parse(stdout.toString());
    return typeof state === "object" && state !== null && "status" in state ? String(state.status) : undefined;
  } catch (error) {
    if (isTripodError(error, "not-found")) throw error; // the program
    return undefined;
  }
}
