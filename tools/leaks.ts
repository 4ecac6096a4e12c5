// What tests may leave behind on the machine.
//   node tools/leaks.ts                what there is now that is recognizably ours
//   node tools/leaks.ts --save FILE    notes what there is now
//   node tools/leaks.ts --since FILE   prints what has come since then; exit code 1 when there is anything
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { isTripodError } from "@tripod/base";
import { cgroupHierarchies, loopDevices, mountInfo, nft, openRtnetlink, processStartTime } from "@tripod/linux";

/** Everything that could be left behind, a line each. */
export type LeakSnapshot = readonly string[];

/** What belongs to our instances under test, by the names that they give. */
const ours = /\/tmp\/tripod-|\/tripod(?:-|$|\/)|\btripod|\btri-[0-9a-f]{8}\b/;

/** Programs that tests start, whose command lines need not name a folder. */
const programs = new Set([
  "catatonit",
  "conmon",
  "containerd",
  "containerd-shim",
  "crun",
  "docker-registry",
  "fuse-overlayfs",
  "runc",
  "runsc-gofer",
  "runsc-sandbox",
  "sleep",
]);

/** Gone between listing and reading: a process or file that ended meanwhile; or a folder too deep for a name (fuzzers make such). */
function readIfThere<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    // Errors of node:fs are ErrnoExceptions.
    const code = (error as NodeJS.ErrnoException).code ?? "";
    if (["ENOENT", "ESRCH", "EACCES", "ENODEV", "ENOTDIR", "ENAMETOOLONG"].includes(code)) return undefined;
    throw error;
  }
}

const list = (folder: string): string[] => readIfThere(() => readdirSync(folder)) ?? [];

const mounts = (): string[] => mountInfo().map(({ type, mountPoint }) => `mount ${mountPoint} (${type})`);

const pinnedNamespaces = (): string[] => list("/run/netns").map((name) => `network namespace /run/netns/${name}`);

function links(): string[] {
  using rtnetlink = openRtnetlink();
  return rtnetlink.links().map(({ name, kind }) => `link ${name} (${kind ?? "no kind"})`);
}

function nftTables(): string[] {
  try {
    return nft("list tables")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => `nft ${line}`);
  } catch (error) {
    // Without libnftables, or without the right to use it, nobody here has made a table.
    if (isTripodError(error, "failed-precondition", "permission-denied")) return [];
    throw error;
  }
}

function cgroups(): string[] {
  const { unified, v1 } = cgroupHierarchies();
  const roots = new Set([...v1.values(), ...(unified === undefined ? [] : [unified])]);
  const below = (folder: string): string[] =>
    (readIfThere(() => readdirSync(folder, { withFileTypes: true })) ?? [])
      .filter((entry) => entry.isDirectory())
      .flatMap(({ name }) =>
        name.startsWith("tripod") ? [`cgroup ${join(folder, name)}`] : below(join(folder, name)),
      );
  return [...roots].flatMap(below);
}

const loops = (): string[] => loopDevices().map(({ path, backingFile }) => `loop device ${path} of ${backingFile}`);

const folders = (): string[] =>
  list("/tmp")
    .filter((name) => name.startsWith("tripod-"))
    .map((name) => `folder /tmp/${name}`);

/** This process and those that it descends from: their command lines may well name a folder of ours. */
function lineage(): Set<number> {
  const pids = new Set<number>();
  for (let pid = process.pid; pid > 0 && !pids.has(pid); ) {
    pids.add(pid);
    const stat = readIfThere(() => readFileSync(`/proc/${pid}/stat`, "latin1"));
    pid = stat === undefined ? 0 : Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  }
  return pids;
}

function processes(): string[] {
  const own = lineage();
  const found: string[] = [];
  const ownNetns = readlinkSync("/proc/self/ns/net");
  for (const name of list("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || own.has(pid)) continue;
    const read = (file: string): string => readIfThere(() => readFileSync(`/proc/${pid}/${file}`, "latin1")) ?? "";
    const cmdline = read("cmdline").replaceAll("\0", " ").trim();
    if (cmdline === "") continue; // kernel threads and zombies
    const cwd = readIfThere(() => readlinkSync(`/proc/${pid}/cwd`)) ?? "";
    const netns = readIfThere(() => readlinkSync(`/proc/${pid}/ns/net`)) ?? ownNetns;
    const isOurs =
      programs.has(read("comm").trim()) ||
      [cmdline, cwd, read("environ")].some((text) => text.includes("/tmp/tripod-")) ||
      /^\d+:[^:]*:\/tripod/m.test(read("cgroup")) ||
      netns !== ownNetns;
    // The start time tells it from a later process with the same number.
    if (isOurs) found.push(`process ${pid} (start ${processStartTime(pid) ?? 0}): ${cmdline.slice(0, 200)}`);
  }
  return found;
}

/** What there is now. */
export async function leakSnapshot(): Promise<LeakSnapshot> {
  return [mounts, pinnedNamespaces, links, nftTables, cgroups, loops, folders, processes].flatMap((read) => read());
}

/**
 * What has come since `before`, a line each. The kernel takes links away and lets processes go a little after it was told to, so
 * what is new is looked at again for `settleMs`, 3,000 unless told.
 */
export async function leaksSince(
  before: LeakSnapshot,
  options: { readonly settleMs?: number } = {},
): Promise<string[]> {
  const deadline = performance.now() + (options.settleMs ?? 3_000);
  for (;;) {
    const left = newIn(await leakSnapshot(), before);
    if (left.length === 0 || performance.now() >= deadline) return left;
    await delay(100);
  }
}

/** The lines of `after` without those of `before`; a line that was there twice may be there twice. */
function newIn(after: LeakSnapshot, before: LeakSnapshot): string[] {
  const known = new Map<string, number>();
  for (const line of before) known.set(line, (known.get(line) ?? 0) + 1);
  return after.filter((line) => {
    const count = known.get(line) ?? 0;
    known.set(line, count - 1);
    return count <= 0;
  });
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { save: { type: "string" }, since: { type: "string" } } });
  if (values.save !== undefined) writeFileSync(values.save, JSON.stringify(await leakSnapshot()));
  else {
    const left =
      values.since === undefined
        ? (await leakSnapshot()).filter((line) => ours.test(line))
        : // The file is one that --save has written.
          await leaksSince(JSON.parse(readFileSync(values.since, "utf8")) as LeakSnapshot);
    for (const line of left) console.log(`left behind: ${line}`);
    process.exitCode = left.length === 0 ? 0 : 1;
  }
}
