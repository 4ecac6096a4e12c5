import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  CpuUsageSchema,
  IoUsageSchema,
  MemoryUsageSchema,
  PsiStatsSchema,
  SwapUsageSchema,
} from "@tripod/api/cri";
import type { CgroupStats, Pressure, PressureLine } from "@tripod/linux";
import type { CpuRates } from "./cpu-rate.ts";

const value = (number: number | bigint) => ({ value: BigInt(number) });

const psiLine = ({ totalUs, avg10, avg60, avg300 }: PressureLine) => ({
  Total: totalUs,
  Avg10: avg10,
  Avg60: avg60,
  Avg300: avg300,
});

/** The `psi` of a message; nothing where the kernel counts no pressure. */
const psiOf = (pressure: Pressure | undefined): { psi?: MessageInitShape<typeof PsiStatsSchema> } =>
  pressure === undefined ? {} : { psi: { Some: psiLine(pressure.some), Full: psiLine(pressure.full) } };

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
    ...psiOf(stats.cpu.pressure),
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
    ...psiOf(memory.pressure),
  };
}

/** Swap of a cgroup; undefined where the kernel does not count it. What is available is known only under a limit. */
export function swapUsage({ memory }: CgroupStats, atNs: bigint): MessageInitShape<typeof SwapUsageSchema> | undefined {
  const swap = memory?.swap;
  if (swap === undefined) return undefined;
  return {
    timestamp: atNs,
    ...(swap.limitBytes !== undefined && { swapAvailableBytes: value(Math.max(0, swap.limitBytes - swap.usageBytes)) }),
    swapUsageBytes: value(swap.usageBytes),
  };
}

/** Input and output of a cgroup, of which CRI asks the pressure alone; undefined where the kernel counts none. */
export const ioUsage = (
  pressure: Pressure | undefined,
  atNs: bigint,
): MessageInitShape<typeof IoUsageSchema> | undefined =>
  pressure === undefined ? undefined : { timestamp: atNs, ...psiOf(pressure) };
