import { labelRequirements, matchesLabels, type Node, type Pod, type PodAffinityTerm } from "@tripod/api/kubernetes";

/** A Pod together with the node that it is on. */
export interface PlacedPod {
  readonly pod: Pod;
  readonly node: Node;
}

function selects(term: PodAffinityTerm, owner: Pod, other: Pod): boolean {
  const namespaces = term.namespaces ?? [];
  const own = owner.metadata.namespace ?? "default";
  // An empty namespaceSelector is all namespaces; one with conditions would need the namespaces' labels and is taken as all too.
  const inNamespace =
    term.namespaceSelector !== undefined ||
    (namespaces.length > 0 ? namespaces : [own]).includes(other.metadata.namespace ?? "default");
  const requirements = labelRequirements(term.labelSelector);
  return inNamespace && requirements !== undefined && matchesLabels(requirements, other.metadata.labels);
}

const sameDomain = (term: PodAffinityTerm, a: Node, b: Node): boolean => {
  const value = a.metadata.labels?.[term.topologyKey];
  return value !== undefined && value === b.metadata.labels?.[term.topologyKey];
};

/** Why required Pod affinity or anti-affinity, the Pod's own or that of Pods already placed, keeps a Pod off a node. */
export function podAffinityConflict(pod: Pod, node: Node, placed: readonly PlacedPod[]): string | undefined {
  const { podAffinity, podAntiAffinity } = pod.spec.affinity ?? {};
  for (const term of podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []) {
    const matching = placed.filter((other) => selects(term, pod, other.pod));
    if (matching.some((other) => sameDomain(term, node, other.node))) continue;
    // The first of a group that wants to be together must start somewhere.
    const isFirst =
      matching.length === 0 && selects(term, pod, pod) && node.metadata.labels?.[term.topologyKey] !== undefined;
    if (!isFirst) return "node(s) didn't match pod affinity rules";
  }
  for (const term of podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [])
    if (placed.some((other) => selects(term, pod, other.pod) && sameDomain(term, node, other.node)))
      return "node(s) didn't match pod anti-affinity rules";
  for (const other of placed)
    for (const term of other.pod.spec.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [])
      if (selects(term, other.pod, pod) && sameDomain(term, node, other.node))
        return "node(s) didn't satisfy existing pods anti-affinity rules";
  return undefined;
}
