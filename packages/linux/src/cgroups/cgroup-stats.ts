import { readFileSync } from "node:fs";
import { join } from "node:path";
import { checkCgroupPath } from "./cgroup-path.ts";
import { isGone } from "./cgroup-processes.ts";
import { type CgroupHierarchies, cgroupHierarchies } from "./hierarchies.ts";

export interface CgroupStats {
  readonly cpu: { readonly usageNs: bigint; readonly userNs: bigint; readonly systemNs: bigint } | undefined;
  readonly memory:
    | {
        readonly usageBytes: number;
        /** Usage without the file pages that can be dropped: what the kubelet evicts by. */
        readonly workingSetBytes: number;
        readonly rssBytes: number;
        readonly pageFaults: number;
        readonly majorPageFaults: number;
        /** undefined when there is no limit. */
        readonly limitBytes: number | undefined;
        readonly oomKills: number;
      }
    | undefined;
  readonly pids: { readonly current: number; readonly limit: number | undefined } | undefined;
}

/** What the group uses. A part is undefined when its controller is not there, all of them when the group is not. */
export function cgroupStats(path: string): CgroupStats {
  checkCgroupPath(path);
  const hierarchies = cgroupHierarchies();
  return hierarchies.version === "v2"
    ? statsV2(join(hierarchies.unified ?? "/sys/fs/cgroup", path))
    : statsV1(hierarchies, path);
}

function read(folder: string | undefined, file: string): string | undefined {
  if (folder === undefined) return undefined;
  try {
    return readFileSync(join(folder, file), "utf8").trim();
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

/** "name value" lines. */
function readTable(folder: string | undefined, file: string): Map<string, number> {
  const lines = (read(folder, file) ?? "").split("\n");
  return new Map(lines.map((line) => line.split(" ")).map(([name = "", value]) => [name, Number(value ?? 0)]));
}

/** Beyond any machine's memory; version 1 writes about 2^63 for "none". */
const NO_LIMIT = 2 ** 60;

function limitOf(text: string | undefined): number | undefined {
  if (text === undefined || text === "max") return undefined;
  return Number(text) >= NO_LIMIT ? undefined : Number(text);
}

const microseconds = (value: number | undefined): bigint => BigInt(value ?? 0) * 1000n;

function statsV2(folder: string): CgroupStats {
  const cpu = readTable(folder, "cpu.stat");
  const usage = read(folder, "memory.current");
  const memory = readTable(folder, "memory.stat");
  const pids = read(folder, "pids.current");
  return {
    cpu: cpu.has("usage_usec")
      ? {
          usageNs: microseconds(cpu.get("usage_usec")),
          userNs: microseconds(cpu.get("user_usec")),
          systemNs: microseconds(cpu.get("system_usec")),
        }
      : undefined,
    memory:
      usage === undefined
        ? undefined
        : {
            usageBytes: Number(usage),
            workingSetBytes: Math.max(0, Number(usage) - (memory.get("inactive_file") ?? 0)),
            rssBytes: memory.get("anon") ?? 0,
            pageFaults: memory.get("pgfault") ?? 0,
            majorPageFaults: memory.get("pgmajfault") ?? 0,
            limitBytes: limitOf(read(folder, "memory.max")),
            oomKills: readTable(folder, "memory.events").get("oom_kill") ?? 0,
          },
    pids: pids === undefined ? undefined : { current: Number(pids), limit: limitOf(read(folder, "pids.max")) },
  };
}

function statsV1(hierarchies: CgroupHierarchies, path: string): CgroupStats {
  const folderOf = (controller: string): string | undefined => {
    const mount = hierarchies.v1.get(controller);
    return mount === undefined ? undefined : join(mount, path);
  };
  const cpuacct = folderOf("cpuacct");
  const memoryFolder = folderOf("memory");
  const pidsFolder = folderOf("pids");
  const usageNs = read(cpuacct, "cpuacct.usage");
  const usage = read(memoryFolder, "memory.usage_in_bytes");
  const memory = readTable(memoryFolder, "memory.stat");
  const pids = read(pidsFolder, "pids.current");
  return {
    cpu:
      usageNs === undefined
        ? undefined
        : {
            usageNs: BigInt(usageNs),
            userNs: BigInt(read(cpuacct, "cpuacct.usage_user") ?? 0),
            systemNs: BigInt(read(cpuacct, "cpuacct.usage_sys") ?? 0),
          },
    memory:
      usage === undefined
        ? undefined
        : {
            usageBytes: Number(usage),
            workingSetBytes: Math.max(0, Number(usage) - (memory.get("total_inactive_file") ?? 0)),
            rssBytes: memory.get("total_rss") ?? 0,
            pageFaults: memory.get("total_pgfault") ?? 0,
            majorPageFaults: memory.get("total_pgmajfault") ?? 0,
            limitBytes: limitOf(read(memoryFolder, "memory.limit_in_bytes")),
            oomKills: readTable(memoryFolder, "memory.oom_control").get("oom_kill") ?? 0,
          },
    pids: pids === undefined ? undefined : { current: Number(pids), limit: limitOf(read(pidsFolder, "pids.max")) },
  };
}
