import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { isTripodError, messageOf, runCommand } from "@tripod/base";

/** A program of another release of Debian than the one that runs here, of which nothing is installed. */
export interface DebianProgram {
  /** The suite of deb.debian.org: "trixie". */
  readonly suite: string;
  readonly package: string;
  /** Where the package has it: "usr/sbin/criu". */
  readonly path: string;
}

/** What tests run, where this machine may have it, without that it is installed. */
export const debianPrograms = {
  /** Of Debian 12, criu 3.17 does not work on Linux 6. */
  criu: { suite: "trixie", package: "criu", path: "usr/sbin/criu" },
  /** Of Debian 12, runsc ends what it checkpoints. */
  runsc: { suite: "bookworm-backports", package: "runsc", path: "usr/bin/runsc" },
  // What people keep on volumes; they run in Pods.
  etcd: { suite: "bookworm", package: "etcd-server", path: "usr/bin/etcd" },
  etcdctl: { suite: "bookworm", package: "etcd-client", path: "usr/bin/etcdctl" },
  postgres: { suite: "bookworm", package: "postgresql-15", path: "usr/lib/postgresql/15/bin/postgres" },
} as const satisfies Record<string, DebianProgram>;

/** Where the program is, or why this machine cannot have it. */
export type FetchedDebianProgram = { readonly path: string } | { readonly skip: string };

const cacheDir = join(import.meta.dirname, "../../../.cache/debian");
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
const fetchTimeoutMs = 3 * 60_000;

const nameOf = (program: DebianProgram): string => `${program.package}-${program.suite}`;
const launcherOf = (folder: string, { package: name }: DebianProgram): string => join(folder, "bin", name);

/** The files of the program's package and of all that it depends on, as `fetchDebianProgram()` has left them. */
export const debianFiles = (program: DebianProgram): string => join(cacheDir, nameOf(program), "root");

/** The program as `fetchDebianProgram()` has left it, alone in its folder; tests never wait for a download. */
export function debianProgram(program: DebianProgram): FetchedDebianProgram {
  const folder = join(cacheDir, nameOf(program));
  const path = launcherOf(folder, program);
  if (existsSync(path)) return { path };
  const why = existsSync(`${folder}.why`) ? readFileSync(`${folder}.why`, "utf8") : "it was not tried";
  return { skip: `${nameOf(program)} is not here (npm run check -- --only programs): ${why}` };
}

/**
 * Fetches the package with all that it depends on, by apt with lists and a state of its own, and unpacks them into a folder of this
 * checkout's `.cache/debian`, where they run with their own libraries. A machine without apt, or that is not served, gets the reason.
 */
export async function fetchDebianProgram(program: DebianProgram): Promise<FetchedDebianProgram> {
  const folder = join(cacheDir, nameOf(program));
  if (existsSync(launcherOf(folder, program))) return debianProgram(program);
  mkdirSync(cacheDir, { recursive: true });
  const dir = mkdtempSync(join(cacheDir, "fetch-"));
  try {
    const root = join(dir, "made/root");
    mkdirSync(root, { recursive: true });
    for (const file of await downloadPackages(program, dir)) await runCommand("dpkg-deb", ["-x", file, root]);
    writeLauncher(join(dir, "made"), program);
    renameSync(join(dir, "made"), folder);
  } catch (error) {
    const missing = isTripodError(error, "not-found") ? "this machine has no apt" : undefined;
    const lines = messageOf(error).split("\n");
    writeFileSync(`${folder}.why`, missing ?? lines.findLast((line) => line.startsWith("E: ")) ?? lines[0] ?? "");
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
  return debianProgram(program);
}

/** The package files, in a folder below `dir`. */
async function downloadPackages({ suite, package: name }: DebianProgram, dir: string): Promise<string[]> {
  const archives = join(dir, "archives");
  for (const folder of ["lists/partial", "archives/partial", "cache"])
    mkdirSync(join(dir, folder), { recursive: true });
  // A suite of backports depends on its release; with no package installed, each one needed is fetched.
  const suites = [suite, ...(suite.endsWith("-backports") ? [suite.replace("-backports", "")] : [])];
  const sources = suites.map((each) => `deb [signed-by=${keyring}] http://deb.debian.org/debian ${each} main\n`);
  writeFileSync(join(dir, "sources.list"), sources.join(""));
  writeFileSync(join(dir, "status"), "");
  // biome-ignore format: an option on a line
  const options = [
    `Dir::Etc::sourcelist=${join(dir, "sources.list")}`,
    "Dir::Etc::sourceparts=/dev/null",
    `Dir::State::lists=${join(dir, "lists")}`,
    `Dir::State::status=${join(dir, "status")}`,
    `Dir::Cache=${join(dir, "cache")}`,
    `Dir::Cache::archives=${archives}`,
    "APT::Sandbox::User=root",
    "Acquire::Languages=none",
    "Acquire::Retries=2",
  ].flatMap((option) => ["-o", option]);
  const apt = (...args: readonly string[]): Promise<unknown> =>
    runCommand("apt-get", [...options, "-q", ...args], { timeoutMs: fetchTimeoutMs });
  await apt("update", "--error-on=any");
  await apt("install", "--yes", "--download-only", "--no-install-recommends", `${name}/${suite}`);
  return readdirSync(archives)
    .filter((file) => file.endsWith(".deb"))
    .map((file) => join(archives, file));
}

/** A program in `bin` that runs the one below `root` with the libraries there, if any came with it. */
function writeLauncher(folder: string, { path, package: name }: DebianProgram): void {
  const libraries = join(folder, "root/usr/lib");
  const triplet = existsSync(libraries)
    ? readdirSync(libraries).find((each) => each.endsWith("-linux-gnu"))
    : undefined;
  const inFolder = triplet === undefined ? [] : readdirSync(join(libraries, triplet));
  const loader = inFolder.find((each) => each.startsWith("ld-linux"));
  const root = `"$(dirname "$(readlink -f "$0")")/../root"`;
  const command =
    loader === undefined
      ? `"$root/${path}"`
      : `"$root/usr/lib/${triplet}/${loader}" --library-path "$root/usr/lib/${triplet}" "$root/${path}"`;
  mkdirSync(join(folder, "bin"));
  writeFileSync(join(folder, "bin", name), `#!/bin/sh\nroot=${root}\nexec ${command} "$@"\n`, { mode: 0o755 });
}
