import type { Node, Pod } from "@tripod/api/kubernetes";
import { isOutOfService, isReady } from "../node-lifecycle/node-state.ts";
import { isFinished } from "../volumes/pod-claims.ts";

export type PodGcDecision =
  /** Its node is gone: nobody will ever end it. */
  | { readonly kind: "orphaned"; readonly message: string }
  /** It is to go, and its node is out of service. */
  | { readonly kind: "stranded"; readonly message: string }
  /** Deleted before it had a node: nobody is there to end it. */
  | { readonly kind: "never-started" }
  | { readonly kind: "keep" };

/** Pure: whether a Pod has nobody left to look after it. */
export function decidePodGc(pod: Pod, node: Node | undefined): PodGcDecision {
  if (pod.spec.nodeName === undefined)
    return pod.metadata.deletionTimestamp === undefined ? { kind: "keep" } : { kind: "never-started" };
  if (node !== undefined) {
    const isStranded = pod.metadata.deletionTimestamp !== undefined && !isReady(node) && isOutOfService(node);
    return isStranded ? { kind: "stranded", message: "PodGC: node is out of service" } : { kind: "keep" };
  }
  return { kind: "orphaned", message: "PodGC: node no longer exists" };
}

/** Whether its end must still be written down before it goes. */
export const needsFailing = (pod: Pod): boolean => !isFinished(pod);
