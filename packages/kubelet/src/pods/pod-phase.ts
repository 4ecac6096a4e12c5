import type { ContainerStatus, Pod } from "@tripod/api/kubernetes";
import { initContainers, isSidecar, restartPolicyOf } from "./pod-facts.ts";

export type PodPhase = "Pending" | "Running" | "Succeeded" | "Failed";

export interface PhaseInput {
  readonly pod: Pod;
  readonly initStatuses: readonly ContainerStatus[];
  readonly statuses: readonly ContainerStatus[];
  /** Nothing of the Pod runs any more, nor will. */
  readonly ended: boolean;
}

/** The Pod's phase from its containers' states. Pure. */
export function podPhase({ pod, initStatuses, statuses, ended }: PhaseInput): PodPhase {
  const policy = restartPolicyOf(pod);
  let running = 0;
  let waiting = 0;
  let stopped = 0;
  let succeeded = 0;
  for (const { state, lastState } of statuses) {
    if (state?.running !== undefined) running += 1;
    else if (state?.terminated !== undefined) {
      stopped += 1;
      if (state.terminated.exitCode === 0) succeeded += 1;
    } else if (lastState?.terminated !== undefined) stopped += 1;
    else waiting += 1;
  }
  const initFailed = initContainers(pod).some((container, index) => {
    const terminated = initStatuses[index]?.state?.terminated;
    return !isSidecar(container) && terminated !== undefined && terminated.exitCode !== 0;
  });
  if (ended) return waiting === 0 && !initFailed && stopped === succeeded ? "Succeeded" : "Failed";
  if (initFailed && policy === "Never") return "Failed";
  if (waiting > 0) return "Pending";
  if (running > 0 || policy === "Always") return "Running";
  if (stopped === succeeded) return "Succeeded";
  return policy === "Never" ? "Failed" : "Running";
}
