import type { ContainerStatus, Pod, PodCondition } from "@tripod/api/kubernetes";
import { initContainers, isSidecar } from "./pod-facts.ts";
import type { PodPhase } from "./pod-phase.ts";
import { timestampOf } from "./timestamp.ts";

export interface ConditionsInput {
  readonly pod: Pod;
  readonly phase: PodPhase;
  readonly initStatuses: readonly ContainerStatus[];
  readonly statuses: readonly ContainerStatus[];
  readonly sandboxReady: boolean;
  /** The Pod got past its init containers. */
  readonly initialized: boolean;
  readonly nowMs: number;
}

type Verdict = Pick<PodCondition, "status" | "reason" | "message">;

const yes: Verdict = { status: "True" };
const no = (reason: string, message?: string): Verdict => ({
  status: "False",
  reason,
  ...(message === undefined ? {} : { message }),
});

function initializedVerdict({ pod, phase, initStatuses, initialized }: ConditionsInput): Verdict {
  if (initialized || initContainers(pod).length === 0) return yes;
  if (phase === "Succeeded") return { status: "True", reason: "PodCompleted" };
  const open = initContainers(pod)
    .filter((container, index) => {
      const status = initStatuses[index];
      return isSidecar(container) ? status?.started !== true : status?.state?.terminated?.exitCode !== 0;
    })
    .map(({ name }) => name);
  if (open.length === 0) return yes;
  return no("ContainersNotInitialized", `containers with incomplete status: [${open.join(" ")}]`);
}

function containersReadyVerdict({ pod, phase, initStatuses, statuses }: ConditionsInput): Verdict {
  if (phase === "Succeeded") return no("PodCompleted");
  if (phase === "Failed") return no("PodFailed");
  const sidecars = initContainers(pod).flatMap((container, index) =>
    isSidecar(container) && initStatuses[index] !== undefined ? [initStatuses[index]] : [],
  );
  const unready = [...sidecars, ...statuses].filter(({ ready }) => !ready).map(({ name }) => name);
  return unready.length === 0
    ? yes
    : no("ContainersNotReady", `containers with unready status: [${unready.join(" ")}]`);
}

function readyVerdict(pod: Pod, containersReady: Verdict): Verdict {
  if (containersReady.status !== "True") return containersReady;
  const gates = pod.spec?.readinessGates ?? [];
  const conditions = pod.status?.conditions ?? [];
  const open = gates.filter(
    ({ conditionType }) => conditions.find(({ type }) => type === conditionType)?.status !== "True",
  );
  if (open.length === 0) return yes;
  const names = open.map(({ conditionType }) => `"${conditionType}"`).join(", ");
  return no("ReadinessGatesNotReady", `the status of pod readiness gates ${names} is not "True"`);
}

/** The conditions that a kubelet owns, each with its old transition time while its status stays. Pure. */
export function podConditions(input: ConditionsInput): PodCondition[] {
  const containersReady = containersReadyVerdict(input);
  const verdicts: [type: string, verdict: Verdict][] = [
    ["PodReadyToStartContainers", input.sandboxReady ? yes : { status: "False" }],
    ["Initialized", initializedVerdict(input)],
    ["Ready", readyVerdict(input.pod, containersReady)],
    ["ContainersReady", containersReady],
  ];
  const old = input.pod.status?.conditions ?? [];
  return verdicts.map(([type, verdict]) => {
    const before = old.find((condition) => condition.type === type);
    const kept = before?.status === verdict.status ? before.lastTransitionTime : undefined;
    return { type, ...verdict, lastTransitionTime: kept ?? timestampOf(input.nowMs) };
  });
}
