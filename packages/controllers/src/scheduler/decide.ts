import { type Node, parseQuantity, type Pod, type Stored } from "@tripod/api/kubernetes";
import { portsConflict } from "./host-ports.ts";
import { matchesPodAffinity, matchesTerm } from "./node-affinity.ts";
import { type PlacedPod, podAffinityConflict } from "./pod-affinity.ts";
import { amountsOf, podRequests, totalRequests } from "./pod-resources.ts";
import { tolerates, untoleratedTaint } from "./taints.ts";
import { spreadConflict } from "./topology-spread.ts";
import { planVolumes, podVolumes, type VolumeFacts, type VolumePlan } from "./volume-fit.ts";

/** A node with the Pods that run, or are about to run, on it. */
export interface NodeState {
  readonly node: Stored<Node>;
  readonly pods: readonly Pod[];
}

export type Decision =
  /** Run it there now. */
  | { readonly kind: "bind"; readonly node: string }
  /** That node, but its volumes must be bound first, by this plan. */
  | { readonly kind: "bind-volumes"; readonly node: string; readonly plan: VolumePlan }
  /** Nowhere for now. The message is upstream's: "0/2 nodes are available: …". */
  | { readonly kind: "unschedulable"; readonly message: string };

const unschedulableTaint = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" } as const;

/** Every reason for which a node cannot take a Pod, volumes aside; none when it can. Upstream's wording. */
function nodeReasons(pod: Pod, state: NodeState, all: readonly NodeState[], placed: readonly PlacedPod[]): string[] {
  const { node, pods } = state;
  if (node.metadata.deletionTimestamp !== undefined) return ["node(s) were being deleted"];
  const tolerations = pod.spec.tolerations ?? [];
  if (node.spec?.unschedulable === true && !tolerations.some((each) => tolerates(each, unschedulableTaint)))
    return ["node(s) were unschedulable"];
  const taint = untoleratedTaint(pod, node, ["NoSchedule", "NoExecute"]);
  if (taint !== undefined) return [`node(s) had untolerated taint {${taint.key}: ${taint.value ?? ""}}`];
  if (!matchesPodAffinity(pod, node)) return ["node(s) didn't match Pod's node affinity/selector"];
  if (portsConflict(pod, pods)) return ["node(s) didn't have free ports for the requested pod ports"];
  const lacking = lackingResources(pod, state);
  if (lacking.length > 0) return lacking;
  const spread = spreadConflict(
    pod,
    node,
    all.map((each) => each.node),
    placed,
  );
  if (spread !== undefined) return [spread];
  const conflict = podAffinityConflict(pod, node, placed);
  return conflict === undefined ? [] : [conflict];
}

function lackingResources(pod: Pod, { node, pods }: NodeState): string[] {
  const allocatable = amountsOf(node.status?.allocatable ?? node.status?.capacity);
  const used = totalRequests(pods);
  const reasons: string[] = [];
  const mostPods = allocatable.get("pods") ?? 0n;
  if ((used.get("pods") ?? 0n) + 1_000_000_000n > mostPods) reasons.push("Too many pods");
  for (const [name, amount] of podRequests(pod))
    if (amount > 0n && (used.get(name) ?? 0n) + amount > (allocatable.get(name) ?? 0n))
      reasons.push(`Insufficient ${name}`);
  return reasons;
}

/** Higher is better: free cpu and memory after the Pod, what the Pod prefers, what it would rather avoid. */
export function scoreNode(pod: Pod, { node, pods }: NodeState): number {
  const allocatable = node.status?.allocatable ?? node.status?.capacity ?? {};
  const used = totalRequests([...pods, pod]);
  let free = 0;
  for (const name of ["cpu", "memory"]) {
    const whole = Number(parseQuantity(allocatable[name] ?? "0").nano);
    if (whole > 0) free += 50 * (1 - Number(used.get(name) ?? 0n) / whole);
  }
  // Where nothing is requested, fewer Pods are better.
  free -= pods.length / 100;
  const preferred = pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  const weight = preferred.reduce((sum, term) => sum + (matchesTerm(term.preference, node) ? term.weight : 0), 0);
  const avoided = untoleratedTaint(pod, node, ["PreferNoSchedule"]) === undefined ? 0 : 300;
  return free + weight - avoided;
}

/** Where a Pod is to run. Pure: the same arguments give the same answer. */
export function decide(pod: Pod, nodes: readonly NodeState[], facts: VolumeFacts): Decision {
  if (nodes.length === 0) return { kind: "unschedulable", message: "no nodes available to schedule pods" };
  const wanted = podVolumes(pod, facts);
  if ("reason" in wanted)
    return { kind: "unschedulable", message: `0/${nodes.length} nodes are available: ${wanted.reason}.` };
  const placed = nodes.flatMap(({ node, pods }) => pods.map((each): PlacedPod => ({ pod: each, node })));
  const reasons = new Map<string, number>();
  let best: { state: NodeState; plan: VolumePlan; score: number } | undefined;
  for (const state of nodes) {
    const found = nodeReasons(pod, state, nodes, placed);
    const plan = found.length > 0 ? undefined : planVolumes(pod, wanted, state, facts);
    if (plan !== undefined && "reason" in plan) found.push(plan.reason);
    else if (plan !== undefined) {
      const score = scoreNode(pod, state);
      if (best === undefined || score > best.score) best = { state, plan, score };
    }
    for (const reason of found) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
  if (best === undefined) {
    const parts = [...reasons].map(([reason, count]) => `${count} ${reason}`).sort();
    return { kind: "unschedulable", message: `0/${nodes.length} nodes are available: ${parts.join(", ")}.` };
  }
  const node = best.state.node.metadata.name;
  if (best.plan.bind.length + best.plan.provision.length === 0) return { kind: "bind", node };
  return { kind: "bind-volumes", node, plan: best.plan };
}
