import type { Node, NodeCondition, Taint } from "@tripod/api/kubernetes";

export const notReadyTaint = "node.kubernetes.io/not-ready";
export const unreachableTaint = "node.kubernetes.io/unreachable";

/** Conditions of a kubelet that turn Unknown when it falls silent, with the taint that each brings while it is True. */
const pressureTaints: readonly (readonly [condition: string, taint: string])[] = [
  ["MemoryPressure", "node.kubernetes.io/memory-pressure"],
  ["DiskPressure", "node.kubernetes.io/disk-pressure"],
  ["PIDPressure", "node.kubernetes.io/pid-pressure"],
  ["NetworkUnavailable", "node.kubernetes.io/network-unavailable"],
];
const unschedulableTaint = "node.kubernetes.io/unschedulable";
const silentConditions = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

const keyOf = (taint: Taint): string => `${taint.key}:${taint.effect}`;
/** Every taint that this controller puts on and takes off. */
const ownKeys = new Set(
  [
    ...pressureTaints.map(([, key]) => ({ key, effect: "NoSchedule" as const })),
    { key: unschedulableTaint, effect: "NoSchedule" as const },
    ...[notReadyTaint, unreachableTaint].flatMap((key) => [
      { key, effect: "NoSchedule" as const },
      { key, effect: "NoExecute" as const },
    ]),
  ].map(keyOf),
);

/** Pure: the taints that a node's conditions call for, with those that are not this controller's kept; undefined when nothing changes. */
export function decideTaints(node: Node, now: string): Taint[] | undefined {
  const status = (type: string): string | undefined =>
    node.status?.conditions?.find((condition) => condition.type === type)?.status;
  const wanted: Taint[] = [];
  const ready = status("Ready");
  if (ready === "False" || ready === undefined)
    wanted.push({ key: notReadyTaint, effect: "NoSchedule" }, { key: notReadyTaint, effect: "NoExecute" });
  if (ready === "Unknown")
    wanted.push({ key: unreachableTaint, effect: "NoSchedule" }, { key: unreachableTaint, effect: "NoExecute" });
  for (const [condition, key] of pressureTaints)
    if (status(condition) === "True") wanted.push({ key, effect: "NoSchedule" });
  if (node.spec?.unschedulable === true) wanted.push({ key: unschedulableTaint, effect: "NoSchedule" });

  const old = node.spec?.taints ?? [];
  const wantedKeys = new Set(wanted.map(keyOf));
  const oldKeys = new Set(old.map(keyOf));
  const kept = old.filter((taint) => !ownKeys.has(keyOf(taint)) || wantedKeys.has(keyOf(taint)));
  const added = wanted
    .filter((taint) => !oldKeys.has(keyOf(taint)))
    // The time says from when tolerationSeconds count.
    .map((taint): Taint => (taint.effect === "NoExecute" ? { ...taint, timeAdded: now } : taint));
  return kept.length === old.length && added.length === 0 ? undefined : [...kept, ...added];
}

/** Pure: the conditions of a node whose kubelet has fallen silent; undefined when they say so already. */
export function silentNodeConditions(node: Node, now: string): NodeCondition[] | undefined {
  const old = node.status?.conditions ?? [];
  const changed = silentConditions.flatMap((type): NodeCondition[] => {
    const before = old.find((condition) => condition.type === type);
    if (before?.status === "Unknown") return [];
    const reason = before === undefined ? "NodeStatusNeverUpdated" : "NodeStatusUnknown";
    const message = before === undefined ? "Kubelet never posted node status." : "Kubelet stopped posting node status.";
    const lastHeartbeatTime = before?.lastHeartbeatTime;
    return [
      {
        type,
        status: "Unknown",
        reason,
        message,
        lastTransitionTime: now,
        ...(lastHeartbeatTime === undefined ? {} : { lastHeartbeatTime }),
      },
    ];
  });
  return changed.length === 0 ? undefined : changed;
}
