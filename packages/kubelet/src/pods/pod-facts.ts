import { createHash } from "node:crypto";
import type { Container, Pod } from "@tripod/api/kubernetes";
import { bytesOf, milliOf } from "./quantities.ts";

/** The parts of a Pod that every file of the kubelet asks for, with upstream's defaults filled in. */

export const uidOf = (pod: Pod): string => pod.metadata?.uid ?? "";
export const nameOf = (pod: Pod): string => pod.metadata?.name ?? "";
export const namespaceOf = (pod: Pod): string => pod.metadata?.namespace ?? "default";

export const regularContainers = (pod: Pod): readonly Container[] => pod.spec?.containers ?? [];
export const initContainers = (pod: Pod): readonly Container[] => pod.spec?.initContainers ?? [];
/** Containers that `kubectl debug` added. They have a container's fields, and are never restarted. */
export const ephemeralContainers = (pod: Pod): readonly Container[] => pod.spec?.ephemeralContainers ?? [];
/** Whether an init container stays beside the Pod's containers. */
export const isSidecar = (container: Container): boolean => container.restartPolicy === "Always";

export const allContainers = (pod: Pod): readonly Container[] => [
  ...initContainers(pod),
  ...regularContainers(pod),
  ...ephemeralContainers(pod),
];

export const restartPolicyOf = (pod: Pod): "Always" | "OnFailure" | "Never" => {
  const policy = pod.spec?.restartPolicy;
  return policy === "OnFailure" || policy === "Never" ? policy : "Always";
};

export const isTerminalPhase = (phase: string | undefined): boolean => phase === "Succeeded" || phase === "Failed";

/** Seconds that the Pod's processes have between SIGTERM and SIGKILL when it is ended as a whole; at least 1. */
export function gracePeriodOf(pod: Pod): number {
  const { deletionTimestamp, deletionGracePeriodSeconds } = pod.metadata ?? {};
  const asked = deletionTimestamp === undefined ? undefined : deletionGracePeriodSeconds;
  return Math.max(1, asked ?? pod.spec?.terminationGracePeriodSeconds ?? 30);
}

export type QosClass = "Guaranteed" | "Burstable" | "BestEffort";

/** The Pod's quality-of-service class, from its containers' cpu and memory. */
export function qosClassOf(pod: Pod): QosClass {
  let anything = false;
  let guaranteed = true;
  for (const container of [...initContainers(pod), ...regularContainers(pod)]) {
    const { requests = {}, limits = {} } = container.resources ?? {};
    for (const [resource, read] of [
      ["cpu", milliOf],
      ["memory", bytesOf],
    ] as const) {
      const limit = read(limits[resource]);
      const request = read(requests[resource]) ?? limit;
      if ((limit ?? 0) > 0 || (request ?? 0) > 0) anything = true;
      if (limit === undefined || limit === 0 || request !== limit) guaranteed = false;
    }
  }
  if (!anything) return "BestEffort";
  return guaranteed ? "Guaranteed" : "Burstable";
}

/** A short digest of what a running container cannot take over without a restart: its image and its name. */
export const containerHash = (container: Container): string =>
  createHash("sha256")
    .update(JSON.stringify([container.name, container.image]))
    .digest("hex")
    .slice(0, 12);
