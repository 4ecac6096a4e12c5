import type { Node, Pod, Taint, Toleration } from "@tripod/api/kubernetes";

/** Whether a toleration stands a taint. An empty key with Exists stands all; an empty effect stands every effect. */
export function tolerates(toleration: Toleration, taint: Taint): boolean {
  if (toleration.effect !== undefined && toleration.effect !== taint.effect) return false;
  if ((toleration.key ?? "") === "") return toleration.operator === "Exists";
  if (toleration.key !== taint.key) return false;
  switch (toleration.operator ?? "Equal") {
    case "Exists":
      return true;
    case "Equal":
      return (toleration.value ?? "") === (taint.value ?? "");
    default: {
      const [have, limit] = [Number(taint.value), Number(toleration.value)];
      if (!Number.isInteger(have) || !Number.isInteger(limit)) return false;
      return toleration.operator === "Gt" ? have > limit : have < limit;
    }
  }
}

/** The first taint of a node, among those with one of `effects`, that a Pod does not stand. */
export function untoleratedTaint(pod: Pod, node: Node, effects: readonly Taint["effect"][]): Taint | undefined {
  const tolerations = pod.spec.tolerations ?? [];
  return node.spec?.taints?.find(
    (taint) => effects.includes(taint.effect) && !tolerations.some((toleration) => tolerates(toleration, taint)),
  );
}
