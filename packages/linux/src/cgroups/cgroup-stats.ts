import { join } from "node:path";
import { readCgroupFile, readCgroupLimit, readCgroupNumber, readCgroupTable } from "./cgroup-file.ts";
import { checkCgroupPath } from "./cgroup-path.ts";
import { controllerFolder } from "./controller-folder.ts";
import { type CgroupHierarchies, cgroupHierarchies } from "./hierarchies.ts";
import { type Pressure, readPressure } from "./pressure.ts";

export interface CgroupCpu {
  readonly usageNs: bigint;
  readonly userNs: bigint;
  readonly systemNs: bigint;
  /** Periods of a quota that have passed, those in which it was used up, and how long tasks then waited. */
  readonly periods: number;
  readonly throttledPeriods: number;
  readonly throttledNs: bigint;
  readonly pressure: Pressure | undefined;
}

export interface CgroupMemory {
  readonly usageBytes: number;
  /** Usage without the file pages that can be dropped: what the kubelet evicts by. */
  readonly workingSetBytes: number;
  readonly rssBytes: number;
  readonly cacheBytes: number;
  readonly mappedFileBytes: number;
  readonly activeFileBytes: number;
  readonly inactiveFileBytes: number;
  readonly kernelBytes: number;
  readonly pageFaults: number;
  readonly majorPageFaults: number;
  /** undefined when there is no limit. */
  readonly limitBytes: number | undefined;
  /** The most that was ever used; undefined where the kernel does not keep it (version 2 before Linux 5.19). */
  readonly peakBytes: number | undefined;
  /** How often the limit was hit. */
  readonly limitHits: number;
  readonly oomKills: number;
  /** undefined when swap is not counted. The limit is swap's alone, and undefined when there is none. */
  readonly swap: { readonly usageBytes: number; readonly limitBytes: number | undefined } | undefined;
  readonly pressure: Pressure | undefined;
}

export interface CgroupStats {
  readonly cpu: CgroupCpu | undefined;
  readonly memory: CgroupMemory | undefined;
  /** Tasks, which are threads. */
  readonly pids: { readonly current: number; readonly limit: number | undefined } | undefined;
}

/** What the group uses, those below it included. A part is undefined when its controller is not there, all of them when the group is not. */
export function cgroupStats(path: string): CgroupStats {
  checkCgroupPath(path);
  const hierarchies = cgroupHierarchies();
  return hierarchies.version === "v2"
    ? statsV2(join(hierarchies.unified ?? "/sys/fs/cgroup", path))
    : statsV1(hierarchies, path);
}

const microseconds = (value: number | undefined): bigint => BigInt(value ?? 0) * 1000n;

function pidsOf(folder: string | undefined): CgroupStats["pids"] {
  const current = readCgroupNumber(folder, "pids.current");
  return current === undefined ? undefined : { current, limit: readCgroupLimit(folder, "pids.max") };
}

function statsV2(folder: string): CgroupStats {
  const cpu = readCgroupTable(folder, "cpu.stat");
  return {
    cpu: cpu.has("usage_usec")
      ? {
          usageNs: microseconds(cpu.get("usage_usec")),
          userNs: microseconds(cpu.get("user_usec")),
          systemNs: microseconds(cpu.get("system_usec")),
          periods: cpu.get("nr_periods") ?? 0,
          throttledPeriods: cpu.get("nr_throttled") ?? 0,
          throttledNs: microseconds(cpu.get("throttled_usec")),
          pressure: readPressure(folder, "cpu"),
        }
      : undefined,
    memory: memoryV2(folder),
    pids: pidsOf(folder),
  };
}

function memoryV2(folder: string): CgroupMemory | undefined {
  const usageBytes = readCgroupNumber(folder, "memory.current");
  if (usageBytes === undefined) return undefined;
  const stat = readCgroupTable(folder, "memory.stat");
  const events = readCgroupTable(folder, "memory.events");
  const of = (name: string): number => stat.get(name) ?? 0;
  const swapBytes = readCgroupNumber(folder, "memory.swap.current");
  return {
    usageBytes,
    workingSetBytes: Math.max(0, usageBytes - of("inactive_file")),
    rssBytes: of("anon"),
    cacheBytes: of("file"),
    mappedFileBytes: of("file_mapped"),
    activeFileBytes: of("active_file"),
    inactiveFileBytes: of("inactive_file"),
    // The sum stands there from Linux 5.18 on.
    kernelBytes: stat.get("kernel") ?? of("kernel_stack") + of("pagetables") + of("percpu") + of("sock") + of("slab"),
    pageFaults: of("pgfault"),
    majorPageFaults: of("pgmajfault"),
    limitBytes: readCgroupLimit(folder, "memory.max"),
    peakBytes: readCgroupNumber(folder, "memory.peak"),
    limitHits: events.get("max") ?? 0,
    oomKills: events.get("oom_kill") ?? 0,
    swap:
      swapBytes === undefined
        ? undefined
        : { usageBytes: swapBytes, limitBytes: readCgroupLimit(folder, "memory.swap.max") },
    pressure: readPressure(folder, "memory"),
  };
}

function statsV1(hierarchies: CgroupHierarchies, path: string): CgroupStats {
  const folderOf = (controller: string): string | undefined => controllerFolder(hierarchies, { controller, path });
  const cpuacct = folderOf("cpuacct");
  const cpu = readCgroupTable(folderOf("cpu"), "cpu.stat");
  const usageNs = readCgroupFile(cpuacct, "cpuacct.usage");
  return {
    cpu:
      usageNs === undefined
        ? undefined
        : {
            usageNs: BigInt(usageNs),
            userNs: BigInt(readCgroupFile(cpuacct, "cpuacct.usage_user") ?? 0),
            systemNs: BigInt(readCgroupFile(cpuacct, "cpuacct.usage_sys") ?? 0),
            periods: cpu.get("nr_periods") ?? 0,
            throttledPeriods: cpu.get("nr_throttled") ?? 0,
            throttledNs: BigInt(cpu.get("throttled_time") ?? 0),
            pressure: undefined,
          },
    memory: memoryV1(folderOf("memory")),
    pids: pidsOf(folderOf("pids")),
  };
}

function memoryV1(folder: string | undefined): CgroupMemory | undefined {
  const usageBytes = readCgroupNumber(folder, "memory.usage_in_bytes");
  if (usageBytes === undefined) return undefined;
  const stat = readCgroupTable(folder, "memory.stat");
  const of = (name: string): number => stat.get(`total_${name}`) ?? 0;
  const limitBytes = readCgroupLimit(folder, "memory.limit_in_bytes");
  const withSwap = readCgroupNumber(folder, "memory.memsw.usage_in_bytes");
  const withSwapLimit = readCgroupLimit(folder, "memory.memsw.limit_in_bytes");
  return {
    usageBytes,
    workingSetBytes: Math.max(0, usageBytes - of("inactive_file")),
    rssBytes: of("rss"),
    cacheBytes: of("cache"),
    mappedFileBytes: of("mapped_file"),
    activeFileBytes: of("active_file"),
    inactiveFileBytes: of("inactive_file"),
    kernelBytes: readCgroupNumber(folder, "memory.kmem.usage_in_bytes") ?? 0,
    pageFaults: of("pgfault"),
    majorPageFaults: of("pgmajfault"),
    limitBytes,
    peakBytes: readCgroupNumber(folder, "memory.max_usage_in_bytes"),
    limitHits: readCgroupNumber(folder, "memory.failcnt") ?? 0,
    oomKills: readCgroupTable(folder, "memory.oom_control").get("oom_kill") ?? 0,
    swap:
      withSwap === undefined
        ? undefined
        : {
            usageBytes: of("swap"),
            // Version 1 limits memory and swap together.
            limitBytes: withSwapLimit === undefined ? undefined : Math.max(0, withSwapLimit - (limitBytes ?? 0)),
          },
    pressure: undefined,
  };
}
