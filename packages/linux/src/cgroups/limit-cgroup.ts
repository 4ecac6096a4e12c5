import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { isNodeError, messageOf, TripodError } from "@tripod/base";
import { checkOwnCgroup } from "./cgroup-path.ts";
import { controllerFolder } from "./controller-folder.ts";
import { cgroupHierarchies } from "./hierarchies.ts";

/** What a group may use; what is left out stays as it is, -1 takes a limit away. */
export interface CgroupLimits {
  /** 2 to 262,144, as version 1 counts. */
  readonly cpuShares?: number;
  readonly cpuQuotaUs?: number;
  readonly cpuPeriodUs?: number;
  readonly memoryBytes?: number;
  /** Memory and swap together, as version 1 counts. */
  readonly memoryAndSwapBytes?: number;
  readonly hugepages?: readonly { readonly pageSize: string; readonly limitBytes: number }[];
  /** Files of version 2 by name. */
  readonly unified?: Readonly<Record<string, string>>;
}

interface Write {
  readonly controller: string;
  readonly file: string;
  readonly value: string;
}

const maxWeight = 10_000;

/** Version 2's 1 to 10,000 for version 1's 2 to 262,144, both on a straight line, as runtimes agree on. */
export const weightOfShares = (shares: number): number =>
  1 + Math.floor(((Math.min(262_144, Math.max(2, shares)) - 2) * (maxWeight - 1)) / 262_142);

const orMax = (value: number): string => (value < 0 ? "max" : String(value));

/** The files that say so, in the order in which they are to be written. Exported for tests. */
export function planLimits(limits: CgroupLimits, version: "v1" | "v2"): Write[] {
  const { cpuShares, cpuQuotaUs, cpuPeriodUs, memoryBytes, memoryAndSwapBytes, hugepages = [], unified = {} } = limits;
  const writes: Write[] = [];
  const put = (controller: string, file: string, value: string): void => {
    writes.push({ controller, file, value });
  };
  if (version === "v1") {
    if (cpuShares !== undefined) put("cpu", "cpu.shares", String(cpuShares));
    if (cpuPeriodUs !== undefined) put("cpu", "cpu.cfs_period_us", String(cpuPeriodUs));
    if (cpuQuotaUs !== undefined) put("cpu", "cpu.cfs_quota_us", String(cpuQuotaUs));
    if (memoryBytes !== undefined) put("memory", "memory.limit_in_bytes", String(memoryBytes));
    if (memoryAndSwapBytes !== undefined) put("memory", "memory.memsw.limit_in_bytes", String(memoryAndSwapBytes));
  } else {
    if (cpuShares !== undefined) put("cpu", "cpu.weight", String(weightOfShares(cpuShares)));
    if (cpuQuotaUs !== undefined) put("cpu", "cpu.max", `${orMax(cpuQuotaUs)} ${cpuPeriodUs ?? 100_000}`);
    if (memoryBytes !== undefined) put("memory", "memory.max", orMax(memoryBytes));
    if (memoryAndSwapBytes !== undefined) {
      const swap = memoryAndSwapBytes < 0 ? -1 : Math.max(0, memoryAndSwapBytes - Math.max(0, memoryBytes ?? 0));
      put("memory", "memory.swap.max", orMax(swap));
    }
  }
  for (const { pageSize, limitBytes } of hugepages) {
    put("hugetlb", `hugetlb.${pageSize}.${version === "v2" ? "max" : "limit_in_bytes"}`, String(limitBytes));
  }
  for (const [file, value] of Object.entries(unified)) {
    if (!/^[a-z]\w*(?:\.\w+)+$/.test(file) || file.startsWith("cgroup.")) {
      throw new TripodError("invalid", `cgroup limits: ${JSON.stringify(file)} is no limit of cgroup v2`);
    }
    if (version === "v1") {
      throw new TripodError("failed-precondition", `cgroup limits: ${file}: this machine's controllers are cgroup v1`);
    }
    put(file.split(".")[0] ?? "", file, value);
  }
  return writes;
}

/** Sets limits of a group that exists. The kernel's refusal names the file, and what was asked of it. */
export function limitCgroup(path: string, limits: CgroupLimits): void {
  checkOwnCgroup(path);
  const hierarchies = cgroupHierarchies();
  const failed: Write[] = [];
  const apply = (write: Write, retry: boolean): void => {
    const folder = controllerFolder(hierarchies, { controller: write.controller, path });
    if (folder === undefined) {
      throw new TripodError(
        "failed-precondition",
        `limit cgroup ${path}: this machine has no ${write.controller} controller`,
      );
    }
    try {
      writeFileSync(join(folder, write.file), write.value, { flag: "r+" });
    } catch (cause) {
      // On version 1 memory may not exceed memory with swap at any time, so that raising both takes the other order.
      if (retry && isNodeError(cause, "EINVAL")) failed.push(write);
      else
        throw new TripodError(
          "failed-precondition",
          `limit cgroup ${path}: ${write.file} = ${write.value}: ${messageOf(cause)}`,
          { cause },
        );
    }
  };
  for (const write of planLimits(limits, hierarchies.version === "v2" ? "v2" : "v1")) {
    apply(write, write.file === "memory.limit_in_bytes");
  }
  for (const write of failed) apply(write, false);
}
