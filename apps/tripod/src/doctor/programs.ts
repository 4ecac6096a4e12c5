import { type CommandResult, isTripodError, messageOf, runCommand } from "@tripod/base";
import { nft } from "@tripod/linux";
import { type Check, fail, ok, warn } from "./check.ts";
import { isAtLeast, parseVersion } from "./version.ts";

/** A program that Tripod starts, or that users of a node need. */
export interface Program {
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  /** The oldest version that is known to work; undefined when any does. */
  readonly least?: readonly number[];
  readonly debianPackage: string;
  /** Without it Pods do not run. */
  readonly needed: boolean;
  /** What is missed without it. */
  readonly purpose: string;
}

export const programs: readonly Program[] = [
  {
    name: "runc",
    file: "runc",
    args: ["--version"],
    least: [1, 1, 0],
    debianPackage: "runc",
    needed: true,
    purpose: "runs containers",
  },
  {
    name: "conmon",
    file: "conmon",
    args: ["--version"],
    least: [2, 1, 0],
    debianPackage: "conmon",
    needed: true,
    purpose: "keeps containers and their logs while the daemon is down",
  },
  {
    name: "catatonit",
    file: "catatonit",
    args: ["--version"],
    debianPackage: "catatonit",
    needed: false,
    purpose: "is the init of Pods that share a PID namespace",
  },
  {
    name: "iproute2",
    file: "ip",
    args: ["-V"],
    debianPackage: "iproute2",
    needed: false,
    purpose: "shows what the network looks like (ip, tc)",
  },
  {
    name: "mkfs.ext4",
    file: "mkfs.ext4",
    args: ["-V"],
    debianPackage: "e2fsprogs",
    needed: false,
    purpose: "formats block volumes, and limited root file systems of containers",
  },
  {
    name: "mkfs.xfs",
    file: "mkfs.xfs",
    args: ["-V"],
    debianPackage: "xfsprogs",
    needed: false,
    purpose: "formats block volumes",
  },
];

export async function programChecks(wanted: readonly Program[] = programs): Promise<Check[]> {
  return [...(await Promise.all(wanted.map(checkProgram))), libnftablesCheck()];
}

async function checkProgram(program: Program): Promise<Check> {
  const { name, least, debianPackage, purpose } = program;
  const bad = program.needed ? fail : warn;
  const install = `apt-get install ${debianPackage} (${name} ${purpose})`;
  let result: CommandResult;
  try {
    result = await runCommand(program.file, program.args, { timeoutMs: 10_000, okExitCodes: "any" });
  } catch (error) {
    if (isTripodError(error, "not-found")) return bad(name, "not installed", install);
    return bad(name, messageOf(error), `see why ${program.file} ${program.args.join(" ")} does not run, or ${install}`);
  }
  // Some print their version to stderr.
  const said = `${result.stdout.toString()}\n${result.stderr.toString()}`;
  const version = parseVersion(said);
  if (version === undefined || (result.exitCode !== 0 && least !== undefined)) {
    return bad(name, `no version; exit code ${result.exitCode}: ${said.trim().slice(0, 200)}`, install);
  }
  if (least !== undefined && !isAtLeast(version, least)) {
    return bad(name, version.join("."), `${least.join(".")} or later is needed: ${install}`);
  }
  return ok(name, version.join("."));
}

const OLDEST_LIBNFTABLES = [1, 0, 0];

function libnftablesCheck(): Check {
  const name = "libnftables";
  const remedy = "apt-get install libnftables1 (the network plugins call it)";
  try {
    const text = nft("list tables", { json: true });
    const version = parseVersion(/"version":\s*"([^"]+)"/.exec(text)?.[1] ?? "");
    if (version === undefined) return warn(name, "of an unknown version", remedy);
    return isAtLeast(version, OLDEST_LIBNFTABLES)
      ? ok(name, version.join("."))
      : fail(name, version.join("."), `${OLDEST_LIBNFTABLES.join(".")} or later is needed: ${remedy}`);
  } catch (error) {
    return fail(name, messageOf(error), remedy);
  }
}
