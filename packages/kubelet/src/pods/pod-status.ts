import type { Container, ContainerStatus, Pod, PodStatus } from "@tripod/api/kubernetes";
import { type ContainerActual, currentSandbox, type PodActual } from "../cri/pod-actual.ts";
import { containerStatus, type WaitingReason } from "./container-status.ts";
import { podConditions } from "./pod-conditions.ts";
import { podPhase } from "./pod-phase.ts";
import { ephemeralContainers, initContainers, isTerminalPhase, qosClassOf, regularContainers } from "./pod-facts.ts";
import { timestampOf } from "./timestamp.ts";

export interface PodStatusInput {
  /** With the status that the API server has. */
  readonly pod: Pod;
  readonly actual: PodActual;
  readonly runtimeName: string;
  readonly hostIps: readonly string[];
  readonly nowMs: number;
  readonly initialized: boolean;
  /** Nothing of the Pod runs any more, nor will. */
  readonly ended: boolean;
  /** Set when the kubelet itself ended or refused the Pod: DeadlineExceeded, UnexpectedAdmissionError, … */
  readonly failure: { readonly reason: string; readonly message: string } | undefined;
  readonly waiting: ReadonlyMap<string, WaitingReason>;
  readonly isReady: (container: ContainerActual) => boolean;
  readonly isStarted: (container: ContainerActual) => boolean;
  readonly terminationMessage: (container: ContainerActual) => string | undefined;
}

/** The part of a Pod's status that a kubelet owns, whole. Pure. */
export function podStatus(input: PodStatusInput): PodStatus {
  const { pod, actual, initialized, nowMs } = input;
  const initialReason = initialized ? "ContainerCreating" : "PodInitializing";
  const statusesOf = (containers: readonly Container[], reason: "ContainerCreating" | "PodInitializing") =>
    containers.map(
      (container): ContainerStatus =>
        containerStatus({
          container,
          actual,
          waiting: input.waiting.get(container.name),
          initialReason: reason,
          runtimeName: input.runtimeName,
          isReady: input.isReady,
          isStarted: input.isStarted,
          terminationMessage: input.terminationMessage,
        }),
    );
  const inits = initContainers(pod);
  const initStatuses = statusesOf(inits, "PodInitializing").map((status, index) =>
    inits[index]?.restartPolicy !== "Always" && status.state?.terminated?.exitCode === 0
      ? { ...status, ready: true }
      : status,
  );
  const statuses = statusesOf(regularContainers(pod), inits.length > 0 ? initialReason : "ContainerCreating");
  const ephemeralStatuses = statusesOf(ephemeralContainers(pod), "ContainerCreating");

  const oldPhase = pod.status?.phase;
  const computed = podPhase({ pod, initStatuses, statuses, ended: input.ended });
  // A Pod never comes back from its end, whatever the runtime still remembers.
  const phase =
    oldPhase === "Succeeded" || oldPhase === "Failed" ? oldPhase : input.failure === undefined ? computed : "Failed";
  const sandbox = currentSandbox(actual);
  const sandboxIps =
    pod.spec?.hostNetwork === true ? (sandbox === undefined ? [] : input.hostIps) : (sandbox?.ips ?? []);
  const podIps = sandboxIps.length > 0 ? sandboxIps : (pod.status?.podIPs ?? []).map(({ ip }) => ip ?? "");
  const keptReason = isTerminalPhase(oldPhase)
    ? { reason: pod.status?.reason, message: pod.status?.message }
    : input.failure;
  return {
    phase,
    conditions: podConditions({
      pod,
      phase,
      initStatuses,
      statuses,
      sandboxReady: sandbox !== undefined && !input.ended,
      initialized,
      nowMs,
    }),
    ...(keptReason?.reason === undefined ? {} : { reason: keptReason.reason }),
    ...(keptReason?.message === undefined ? {} : { message: keptReason.message }),
    ...(input.hostIps[0] === undefined ? {} : { hostIP: input.hostIps[0] }),
    hostIPs: input.hostIps.map((ip) => ({ ip })),
    ...(podIps[0] === undefined ? {} : { podIP: podIps[0], podIPs: podIps.map((ip) => ({ ip })) }),
    startTime: pod.status?.startTime ?? timestampOf(nowMs),
    ...(initStatuses.length > 0 ? { initContainerStatuses: initStatuses } : {}),
    containerStatuses: statuses,
    ...(ephemeralStatuses.length > 0 ? { ephemeralContainerStatuses: ephemeralStatuses } : {}),
    qosClass: qosClassOf(pod),
  };
}
