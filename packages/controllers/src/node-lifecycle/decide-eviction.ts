import { type Node, type Pod, parseTime } from "@tripod/api/kubernetes";
import { isFinished } from "../volumes/pod-claims.ts";
import { tolerates } from "../scheduler/taints.ts";
import { notReadyTaint, unreachableTaint } from "./decide-node.ts";

/** What Pods that say nothing about it are granted on a node in trouble; upstream's admission writes the same into them. */
const grantedSeconds = 300;

export type EvictionDecision =
  | { readonly kind: "keep" }
  | { readonly kind: "evict-now"; readonly taint: string }
  /** Milliseconds since the epoch. */
  | { readonly kind: "evict-at"; readonly atMs: number; readonly taint: string };

/** Pure: whether, and when, the NoExecute taints of its node drive a Pod away. */
export function decideEviction(pod: Pod, node: Node, nowMs: number): EvictionDecision {
  if (isFinished(pod) || pod.metadata.deletionTimestamp !== undefined) return { kind: "keep" };
  const tolerations = pod.spec.tolerations ?? [];
  let earliest: { atMs: number; taint: string } | undefined;
  for (const taint of node.spec?.taints ?? []) {
    if (taint.effect !== "NoExecute") continue;
    const matching = tolerations.filter((toleration) => tolerates(toleration, taint));
    const isTrouble = taint.key === notReadyTaint || taint.key === unreachableTaint;
    if (matching.length === 0 && !isTrouble) return { kind: "evict-now", taint: taint.key };
    const limits =
      matching.length === 0 ? [grantedSeconds] : matching.flatMap((toleration) => toleration.tolerationSeconds ?? []);
    if (limits.length === 0) continue;
    const sinceMs = taint.timeAdded === undefined ? nowMs : parseTime(taint.timeAdded).seconds * 1000;
    const atMs = sinceMs + Math.max(0, Math.min(...limits)) * 1000;
    if (earliest === undefined || atMs < earliest.atMs) earliest = { atMs, taint: taint.key };
  }
  if (earliest === undefined) return { kind: "keep" };
  return earliest.atMs <= nowMs ? { kind: "evict-now", taint: earliest.taint } : { kind: "evict-at", ...earliest };
}
