import type { CgroupStats, DeviceIo, HugepageUsage, Pressure } from "@tripod/linux";
import type { MetricName, Sample } from "./descriptors.ts";

const secondsOfNs = (ns: bigint): bigint => ns / 1_000_000_000n;

export function cpuSamples({ cpu }: CgroupStats): Sample[] {
  if (cpu === undefined) return [];
  return [
    { name: "container_cpu_user_seconds_total", value: secondsOfNs(cpu.userNs) },
    { name: "container_cpu_system_seconds_total", value: secondsOfNs(cpu.systemNs) },
    { name: "container_cpu_usage_seconds_total", value: secondsOfNs(cpu.usageNs), labels: ["total"] },
    { name: "container_cpu_cfs_periods_total", value: cpu.periods },
    { name: "container_cpu_cfs_throttled_periods_total", value: cpu.throttledPeriods },
    { name: "container_cpu_cfs_throttled_seconds_total", value: secondsOfNs(cpu.throttledNs) },
  ];
}

export function memorySamples({ memory }: CgroupStats): Sample[] {
  if (memory === undefined) return [];
  const faults = (kind: string, value: number): Sample[] =>
    // The counts include the groups below, and a container has none but its own.
    ["container", "hierarchy"].map((scope) => ({
      name: "container_memory_failures_total",
      value,
      labels: [kind, scope],
    }));
  return [
    { name: "container_memory_cache", value: memory.cacheBytes },
    { name: "container_memory_rss", value: memory.rssBytes },
    { name: "container_memory_kernel_usage", value: memory.kernelBytes },
    { name: "container_memory_mapped_file", value: memory.mappedFileBytes },
    { name: "container_memory_swap", value: memory.swap?.usageBytes ?? 0 },
    { name: "container_memory_failcnt", value: memory.limitHits },
    { name: "container_memory_usage_bytes", value: memory.usageBytes },
    { name: "container_memory_max_usage_bytes", value: memory.peakBytes ?? 0 },
    { name: "container_memory_working_set_bytes", value: memory.workingSetBytes },
    { name: "container_memory_total_active_file_bytes", value: memory.activeFileBytes },
    { name: "container_memory_total_inactive_file_bytes", value: memory.inactiveFileBytes },
    ...faults("pgfault", memory.pageFaults),
    ...faults("pgmajfault", memory.majorPageFaults),
  ];
}

export const oomSamples = ({ memory }: CgroupStats): Sample[] =>
  memory === undefined ? [] : [{ name: "container_oom_events_total", value: memory.oomKills }];

export const ioSamples = (devices: readonly DeviceIo[]): Sample[] =>
  devices.flatMap(({ device, major, minor, ...io }): Sample[] => [
    { name: "container_fs_reads_bytes_total", value: io.readBytes, labels: [device] },
    { name: "container_fs_reads_total", value: io.reads, labels: [device] },
    { name: "container_fs_writes_bytes_total", value: io.writeBytes, labels: [device] },
    { name: "container_fs_writes_total", value: io.writes, labels: [device] },
    { name: "container_blkio_device_usage_total", value: io.readBytes, labels: [device, major, minor, "Read"] },
    { name: "container_blkio_device_usage_total", value: io.writeBytes, labels: [device, major, minor, "Write"] },
  ]);

export const hugepageSamples = (pages: readonly HugepageUsage[]): Sample[] =>
  pages.flatMap(({ pageSize, usageBytes, peakBytes }): Sample[] => [
    { name: "container_hugetlb_usage_bytes", value: usageBytes, labels: [pageSize] },
    { name: "container_hugetlb_max_usage_bytes", value: peakBytes, labels: [pageSize] },
  ]);

export function pressureSamples(
  cpu: Pressure | undefined,
  more: { readonly memory: Pressure | undefined; readonly io: Pressure | undefined },
): Sample[] {
  const pair = (pressure: Pressure | undefined, waiting: MetricName, stalled: MetricName): Sample[] =>
    pressure === undefined
      ? []
      : [
          { name: waiting, value: pressure.some.totalUs / 1_000_000n },
          { name: stalled, value: pressure.full.totalUs / 1_000_000n },
        ];
  return [
    ...pair(cpu, "container_pressure_cpu_waiting_seconds_total", "container_pressure_cpu_stalled_seconds_total"),
    ...pair(
      more.memory,
      "container_pressure_memory_waiting_seconds_total",
      "container_pressure_memory_stalled_seconds_total",
    ),
    ...pair(more.io, "container_pressure_io_waiting_seconds_total", "container_pressure_io_stalled_seconds_total"),
  ];
}
