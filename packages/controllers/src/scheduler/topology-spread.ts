import {
  labelRequirements,
  matchesLabels,
  type Node,
  type Pod,
  type TopologySpreadConstraint,
} from "@tripod/api/kubernetes";
import { matchesPodAffinity } from "./node-affinity.ts";
import type { PlacedPod } from "./pod-affinity.ts";

function countIn(constraint: TopologySpreadConstraint, pod: Pod, placed: readonly PlacedPod[]): Map<string, number> {
  const requirements = labelRequirements(constraint.labelSelector) ?? [];
  const counts = new Map<string, number>();
  for (const { pod: other, node } of placed) {
    const domain = node.metadata.labels?.[constraint.topologyKey];
    if (domain === undefined || other.metadata.namespace !== pod.metadata.namespace) continue;
    if (other.metadata.deletionTimestamp === undefined && matchesLabels(requirements, other.metadata.labels))
      counts.set(domain, (counts.get(domain) ?? 0) + 1);
  }
  return counts;
}

/** Why a Pod's spread constraints (those that say DoNotSchedule) keep it off a node. */
export function spreadConflict(
  pod: Pod,
  node: Node,
  nodes: readonly Node[],
  placed: readonly PlacedPod[],
): string | undefined {
  for (const constraint of pod.spec.topologySpreadConstraints ?? []) {
    if (constraint.whenUnsatisfiable !== "DoNotSchedule") continue;
    const domain = node.metadata.labels?.[constraint.topologyKey];
    if (domain === undefined) return "node(s) didn't match pod topology spread constraints (missing required label)";
    const counts = countIn(constraint, pod, placed);
    const domains = new Set<string>();
    for (const candidate of nodes) {
      const value = candidate.metadata.labels?.[constraint.topologyKey];
      if (value !== undefined && (constraint.nodeAffinityPolicy === "Ignore" || matchesPodAffinity(pod, candidate)))
        domains.add(value);
    }
    const enough = domains.size >= (constraint.minDomains ?? 1);
    const least = enough ? Math.min(...[...domains].map((value) => counts.get(value) ?? 0)) : 0;
    const requirements = labelRequirements(constraint.labelSelector) ?? [];
    const own = matchesLabels(requirements, pod.metadata.labels) ? 1 : 0;
    if ((counts.get(domain) ?? 0) + own - least > constraint.maxSkew)
      return "node(s) didn't match pod topology spread constraints";
  }
  return undefined;
}
