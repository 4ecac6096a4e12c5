/** What metrics are switched on by. */
export const metricGroups = [
  "cpu",
  "memory",
  "oom",
  "network",
  "disk",
  "diskIO",
  "hugetlb",
  "process",
  "spec",
  "pressure",
] as const;

export type MetricGroup = (typeof metricGroups)[number];

interface Metric {
  /** "always" cannot be switched off. */
  readonly group: MetricGroup | "always";
  readonly type: "counter" | "gauge";
  readonly help: string;
  /** The labels after the base ones. */
  readonly labels?: readonly string[];
}

/** The labels of every metric: cgroup path, container id, image, then the names that Kubernetes knows. */
export const baseLabels = ["id", "name", "image", "container", "pod", "namespace"] as const;

const counter = (group: Metric["group"], help: string, labels?: readonly string[]): Metric => ({
  group,
  type: "counter",
  help,
  ...(labels !== undefined && { labels }),
});
const gauge = (group: Metric["group"], help: string, labels?: readonly string[]): Metric => ({
  ...counter(group, help, labels),
  type: "gauge",
});

/** cAdvisor's names. CRI carries whole numbers, so that seconds come without fractions. */
const table = {
  container_last_seen: gauge("always", "When this container was last looked at, in seconds since 1970."),

  container_cpu_user_seconds_total: counter("cpu", "CPU time in user mode, in seconds."),
  container_cpu_system_seconds_total: counter("cpu", "CPU time in the kernel, in seconds."),
  container_cpu_usage_seconds_total: counter("cpu", "CPU time, in seconds.", ["cpu"]),
  container_cpu_cfs_periods_total: counter("cpu", "Periods of the CPU quota that have passed."),
  container_cpu_cfs_throttled_periods_total: counter("cpu", "Periods in which the CPU quota was used up."),
  container_cpu_cfs_throttled_seconds_total: counter("cpu", "How long tasks waited for a new quota, in seconds."),

  container_memory_cache: gauge("memory", "Bytes of files kept in memory."),
  container_memory_rss: gauge("memory", "Bytes of memory that belong to no file."),
  container_memory_kernel_usage: gauge("memory", "Bytes of memory that the kernel holds for the container."),
  container_memory_mapped_file: gauge("memory", "Bytes of files that are mapped."),
  container_memory_swap: gauge("memory", "Bytes of swap; 0 where the kernel does not count it."),
  container_memory_failcnt: counter("memory", "How often the memory limit was hit."),
  container_memory_usage_bytes: gauge("memory", "Bytes of memory of any kind."),
  container_memory_max_usage_bytes: gauge(
    "memory",
    "The most bytes that were used; 0 where the kernel keeps no record.",
  ),
  container_memory_working_set_bytes: gauge("memory", "Bytes of memory without the file pages that can be dropped."),
  container_memory_total_active_file_bytes: gauge("memory", "Bytes of file pages used lately."),
  container_memory_total_inactive_file_bytes: gauge("memory", "Bytes of file pages that can be dropped."),
  container_memory_failures_total: counter("memory", "Page faults.", ["failure_type", "scope"]),

  container_oom_events_total: counter("oom", "Processes killed for want of memory."),

  container_network_receive_bytes_total: counter("network", "Bytes received.", ["interface"]),
  container_network_receive_packets_total: counter("network", "Packets received.", ["interface"]),
  container_network_receive_packets_dropped_total: counter("network", "Incoming packets dropped.", ["interface"]),
  container_network_receive_errors_total: counter("network", "Errors while receiving.", ["interface"]),
  container_network_transmit_bytes_total: counter("network", "Bytes sent.", ["interface"]),
  container_network_transmit_packets_total: counter("network", "Packets sent.", ["interface"]),
  container_network_transmit_packets_dropped_total: counter("network", "Outgoing packets dropped.", ["interface"]),
  container_network_transmit_errors_total: counter("network", "Errors while sending.", ["interface"]),

  container_fs_inodes_free: gauge("disk", "Free inodes of the root file system's disk.", ["device"]),
  container_fs_inodes_total: gauge("disk", "Inodes of the root file system's disk.", ["device"]),
  container_fs_limit_bytes: gauge("disk", "Bytes that the container may write: its limit, or the size of the disk.", [
    "device",
  ]),
  container_fs_usage_bytes: gauge("disk", "Bytes that the container has written to its root file system.", ["device"]),

  container_fs_reads_bytes_total: counter("diskIO", "Bytes read from the device.", ["device"]),
  container_fs_reads_total: counter("diskIO", "Reads of the device.", ["device"]),
  container_fs_writes_bytes_total: counter("diskIO", "Bytes written to the device.", ["device"]),
  container_fs_writes_total: counter("diskIO", "Writes to the device.", ["device"]),
  container_blkio_device_usage_total: counter("diskIO", "Bytes moved to or from the device, by operation.", [
    "device",
    "major",
    "minor",
    "operation",
  ]),

  container_hugetlb_usage_bytes: gauge("hugetlb", "Bytes of huge pages.", ["pagesize"]),
  container_hugetlb_max_usage_bytes: gauge(
    "hugetlb",
    "The most bytes of huge pages that were used; 0 where the kernel keeps no record.",
    ["pagesize"],
  ),

  container_processes: gauge("process", "Processes in the container."),
  container_threads: gauge("process", "Threads in the container."),
  container_threads_max: gauge("process", "The most threads that the container may have; 0 is no limit."),
  container_file_descriptors: gauge("process", "Open file descriptors of the container's processes."),
  container_sockets: gauge("process", "Open sockets of the container's processes."),
  container_ulimits_soft: gauge("process", "Soft limits of the container's first process; no value is no limit.", [
    "ulimit",
  ]),

  container_start_time_seconds: gauge("spec", "When the container was started, in seconds since 1970."),
  container_spec_cpu_period: gauge("spec", "Period of the CPU quota, in microseconds."),
  container_spec_cpu_quota: gauge("spec", "CPU quota a period, in microseconds."),
  container_spec_cpu_shares: gauge("spec", "CPU shares, as cgroup v1 counts."),
  container_spec_memory_limit_bytes: gauge("spec", "Memory limit; 0 is none."),
  container_spec_memory_reservation_limit_bytes: gauge("spec", "Memory kept for the container; 0 is none."),
  container_spec_memory_swap_limit_bytes: gauge("spec", "Limit of memory and swap together; 0 is none."),

  container_pressure_cpu_waiting_seconds_total: counter("pressure", "How long some task waited for a CPU, in seconds."),
  container_pressure_cpu_stalled_seconds_total: counter("pressure", "How long all tasks waited for a CPU, in seconds."),
  container_pressure_memory_waiting_seconds_total: counter(
    "pressure",
    "How long some task waited for memory, in seconds.",
  ),
  container_pressure_memory_stalled_seconds_total: counter(
    "pressure",
    "How long all tasks waited for memory, in seconds.",
  ),
  container_pressure_io_waiting_seconds_total: counter("pressure", "How long some task waited for a disk, in seconds."),
  container_pressure_io_stalled_seconds_total: counter("pressure", "How long all tasks waited for a disk, in seconds."),
} satisfies Record<string, Metric>;

export type MetricName = keyof typeof table;

/** One value of a metric, with the values of the labels after the base ones. */
export interface Sample {
  readonly name: MetricName;
  readonly value: number | bigint;
  readonly labels?: readonly string[];
}

export const metricOf = (name: MetricName): Metric => table[name];

/** Whether a metric is switched on; all are unless told. */
export const isWanted = (group: Metric["group"], wanted: readonly MetricGroup[] = metricGroups): boolean =>
  group === "always" || wanted.includes(group);

/** The metrics that are switched on, as ListMetricDescriptors shows them. */
export const metricDescriptors = (wanted: readonly MetricGroup[] | undefined) =>
  Object.entries<Metric>(table)
    .filter(([, { group }]) => isWanted(group, wanted))
    .map(([name, { help, labels = [] }]) => ({ name, help, labelKeys: [...baseLabels, ...labels] }));
