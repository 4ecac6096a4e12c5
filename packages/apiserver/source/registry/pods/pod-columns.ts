import type { ContainerStatus, Pod } from "@tripod/api/kubernetes";
import { age, ageColumn, type Column, nameColumn } from "../resource.ts";
import { asPod } from "./pod-types.ts";

const isRestartable = (pod: Pod, name: string): boolean =>
  pod.spec?.initContainers?.find((each) => each.name === name)?.restartPolicy === "Always";

const endedReason = (status: ContainerStatus): string => {
  const ended = status.state?.terminated;
  if (ended?.reason) return ended.reason;
  return ended?.signal ? `Signal:${ended.signal}` : `ExitCode:${ended?.exitCode}`;
};

/** What init containers say of the Pod, while one of them is not through; undefined when all are. */
function initStatus(pod: Pod): string | undefined {
  const total = pod.spec?.initContainers?.length ?? 0;
  for (const [index, status] of (pod.status?.initContainerStatuses ?? []).entries()) {
    const { terminated, waiting } = status.state ?? {};
    if (terminated?.exitCode === 0 || (isRestartable(pod, status.name) && status.started)) continue;
    if (terminated !== undefined) return `Init:${endedReason(status)}`;
    if (waiting?.reason && waiting.reason !== "PodInitializing") return `Init:${waiting.reason}`;
    return `Init:${index}/${total}`;
  }
  return undefined;
}

/** The STATUS column of `kubectl get pods`. */
export function podStatusText(pod: Pod): string {
  let text = pod.status?.reason || pod.status?.phase || "Unknown";
  const gated = pod.status?.conditions?.find(
    (each) => each.type === "PodScheduled" && each.reason === "SchedulingGated",
  );
  if (gated !== undefined) text = "SchedulingGated";
  const initializing = initStatus(pod);
  if (initializing !== undefined) text = initializing;
  else {
    let running = false;
    for (const status of (pod.status?.containerStatuses ?? []).toReversed()) {
      const { waiting, terminated } = status.state ?? {};
      if (waiting?.reason) text = waiting.reason;
      else if (terminated !== undefined) text = endedReason(status);
      else if (status.ready && status.state?.running !== undefined) running = true;
    }
    const ready = pod.status?.conditions?.some((each) => each.type === "Ready" && each.status === "True");
    if (text === "Completed" && running) text = ready ? "Running" : "NotReady";
  }
  if (pod.metadata.deletionTimestamp === undefined) return text;
  return pod.status?.reason === "NodeLost" ? "Unknown" : "Terminating";
}

function restarts(pod: Pod): string {
  const sidecars = (pod.status?.initContainerStatuses ?? []).filter((status) => isRestartable(pod, status.name));
  const all = [...(pod.status?.containerStatuses ?? []), ...sidecars];
  const count = all.reduce((sum, status) => sum + (status.restartCount ?? 0), 0);
  const last = all
    .flatMap((status) => status.lastState?.terminated?.finishedAt ?? [])
    .sort()
    .at(-1);
  return count > 0 && last !== undefined ? `${count} (${age(last)} ago)` : String(count);
}

function readiness(pod: Pod): string {
  const sidecars = (pod.spec?.initContainers ?? [])
    .filter((each) => each.restartPolicy === "Always")
    .map((each) => each.name);
  const statuses = [
    ...(pod.status?.containerStatuses ?? []),
    ...(pod.status?.initContainerStatuses ?? []).filter((each) => sidecars.includes(each.name)),
  ];
  const total = (pod.spec?.containers?.length ?? 0) + sidecars.length;
  return `${statuses.filter((status) => status.ready && status.state?.running !== undefined).length}/${total}`;
}

const gates = (pod: Pod): string => {
  const named = pod.spec?.readinessGates ?? [];
  if (named.length === 0) return "<none>";
  const met = named.filter((gate) =>
    pod.status?.conditions?.some((each) => each.type === gate.conditionType && each.status === "True"),
  );
  return `${met.length}/${named.length}`;
};

export const podColumns: readonly Column[] = [
  nameColumn,
  { name: "Ready", type: "string", cell: (object) => readiness(asPod(object)) },
  { name: "Status", type: "string", cell: (object) => podStatusText(asPod(object)) },
  { name: "Restarts", type: "string", cell: (object) => restarts(asPod(object)) },
  ageColumn,
  { name: "IP", type: "string", priority: 1, cell: (object) => asPod(object).status?.podIP || "<none>" },
  { name: "Node", type: "string", priority: 1, cell: (object) => asPod(object).spec?.nodeName || "<none>" },
  {
    name: "Nominated Node",
    type: "string",
    priority: 1,
    cell: (object) => asPod(object).status?.nominatedNodeName || "<none>",
  },
  { name: "Readiness Gates", type: "string", priority: 1, cell: (object) => gates(asPod(object)) },
];
