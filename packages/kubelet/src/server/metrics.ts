import { ContainerState, PodSandboxState } from "@tripod/api/cri";
import type { ServerContext } from "./server-context.ts";

const stateNames: Readonly<Record<number, string>> = {
  [ContainerState.CONTAINER_CREATED]: "created",
  [ContainerState.CONTAINER_RUNNING]: "running",
  [ContainerState.CONTAINER_EXITED]: "exited",
  [ContainerState.CONTAINER_UNKNOWN]: "unknown",
};

/** The answer to /metrics in Prometheus' text format: the few numbers that dashboards for kubelets begin with. */
export async function metrics({ cri, nodeName, startedAtMs }: ServerContext): Promise<string> {
  const [{ items }, { containers }] = await Promise.all([
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
    "# TYPE process_resident_memory_bytes gauge",
    `process_resident_memory_bytes ${rss}`,
    "# TYPE process_cpu_seconds_total counter",
    `process_cpu_seconds_total ${(user + system) / 1e6}`,
    "# TYPE process_start_time_seconds gauge",
    `process_start_time_seconds ${startedAtMs / 1000}`,
  ].join("\n")}\n`;
}
