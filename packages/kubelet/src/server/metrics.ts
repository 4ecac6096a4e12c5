import { ContainerState, PodSandboxState } from "@tripod/api/cri";
import type { VolumeStat } from "../volumes/volume-stats.ts";
import type { ServerContext } from "./server-context.ts";

const stateNames: Readonly<Record<number, string>> = {
  [ContainerState.CONTAINER_CREATED]: "created",
  [ContainerState.CONTAINER_RUNNING]: "running",
  [ContainerState.CONTAINER_EXITED]: "exited",
  [ContainerState.CONTAINER_UNKNOWN]: "unknown",
};

/** Upstream's numbers about claims, and where each is in a volume's stats. */
const claimGauges = [
  ["kubelet_volume_stats_capacity_bytes", "capacityBytes"],
  ["kubelet_volume_stats_available_bytes", "availableBytes"],
  ["kubelet_volume_stats_used_bytes", "usedBytes"],
  ["kubelet_volume_stats_inodes", "inodes"],
  ["kubelet_volume_stats_inodes_free", "inodesFree"],
  ["kubelet_volume_stats_inodes_used", "inodesUsed"],
] as const;

/** A claim that several Pods use is told once. */
async function claimMetrics({ volumeStats }: ServerContext): Promise<string[]> {
  const claims = new Map<string, VolumeStat>();
  for (const stat of [...(await volumeStats.latest()).values()].flat()) {
    if (stat.pvcRef === undefined) continue;
    const labels = `namespace="${stat.pvcRef.namespace}",persistentvolumeclaim="${stat.pvcRef.name}"`;
    if (!claims.has(labels)) claims.set(labels, stat);
  }
  if (claims.size === 0) return [];
  return claimGauges.flatMap(([metric, field]) => [
    `# TYPE ${metric} gauge`,
    ...[...claims].map(([labels, stat]) => `${metric}{${labels}} ${stat[field]}`),
  ]);
}

/** The answer to /metrics in Prometheus' text format: the few numbers that dashboards for kubelets begin with. */
export async function metrics(context: ServerContext): Promise<string> {
  const { cri, nodeName, startedAtMs } = context;
  const [claims, { items }, { containers }] = await Promise.all([
    claimMetrics(context),
    cri.runtime.listPodSandbox({}),
    cri.runtime.listContainers({}),
  ]);
  const running = items.filter(({ state }) => state === PodSandboxState.SANDBOX_READY).length;
  const byState = new Map<string, number>();
  for (const { state } of containers) {
    const name = stateNames[state] ?? "unknown";
    byState.set(name, (byState.get(name) ?? 0) + 1);
  }
  const { rss } = process.memoryUsage();
  const { user, system } = process.cpuUsage();
  return `${[
    "# TYPE kubelet_node_name gauge",
    `kubelet_node_name{node="${nodeName}"} 1`,
    "# TYPE kubelet_running_pods gauge",
    `kubelet_running_pods ${running}`,
    "# TYPE kubelet_running_containers gauge",
    ...[...byState].map(([state, count]) => `kubelet_running_containers{container_state="${state}"} ${count}`),
    ...claims,
    "# TYPE process_resident_memory_bytes gauge",
    `process_resident_memory_bytes ${rss}`,
    "# TYPE process_cpu_seconds_total counter",
    `process_cpu_seconds_total ${(user + system) / 1e6}`,
    "# TYPE process_start_time_seconds gauge",
    `process_start_time_seconds ${startedAtMs / 1000}`,
  ].join("\n")}\n`;
}
