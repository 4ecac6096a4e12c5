import type { MessageInitShape } from "@bufbuild/protobuf";
import type { CpuUsageSchema, MemoryUsageSchema } from "@tripod/api/cri";
import type { CgroupStats } from "@tripod/linux";
import type { CpuRates } from "./cpu-rate.ts";

const value = (number: number | bigint) => ({ value: BigInt(number) });

/** CPU time of a cgroup, and its rate since the last look. */
export function cpuUsage(
  stats: CgroupStats,
  at: { readonly key: string; readonly atNs: bigint; readonly rates: CpuRates },
): MessageInitShape<typeof CpuUsageSchema> | undefined {
  if (stats.cpu === undefined) return undefined;
  const rate = at.rates.next(at.key, { atNs: at.atNs, usageNs: stats.cpu.usageNs });
  return {
    timestamp: at.atNs,
    usageCoreNanoSeconds: value(stats.cpu.usageNs),
    ...(rate !== undefined && { usageNanoCores: value(rate) }),
  };
}

/** Memory of a cgroup. */
export function memoryUsage(
  { memory }: CgroupStats,
  atNs: bigint,
): MessageInitShape<typeof MemoryUsageSchema> | undefined {
  if (memory === undefined) return undefined;
  const { limitBytes, workingSetBytes } = memory;
  return {
    timestamp: atNs,
    workingSetBytes: value(workingSetBytes),
    ...(limitBytes !== undefined && { availableBytes: value(Math.max(0, limitBytes - workingSetBytes)) }),
    usageBytes: value(memory.usageBytes),
    rssBytes: value(memory.rssBytes),
    pageFaults: value(memory.pageFaults),
    majorPageFaults: value(memory.majorPageFaults),
  };
}
