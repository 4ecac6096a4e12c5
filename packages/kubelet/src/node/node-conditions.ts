import type { RuntimeCondition } from "@tripod/api/cri";
import type { NodeCondition } from "@tripod/api/kubernetes";
import { timestampOf } from "../pods/timestamp.ts";
import type { Pressure } from "./pressure.ts";

/** What the runtime answered when it was asked how it is. */
export type RuntimeHealth =
  | {
      readonly kind: "answered";
      readonly conditions: readonly Pick<RuntimeCondition, "type" | "status" | "reason" | "message">[];
    }
  | { readonly kind: "silent"; readonly message: string };

export interface NodeConditionsInput {
  readonly runtime: RuntimeHealth;
  readonly pressure: Pressure;
  /** The conditions last written, for their transition times. */
  readonly before: readonly NodeCondition[];
  readonly nowMs: number;
}

/** Why the node is not ready; empty when it is. */
function notReadyReasons(runtime: RuntimeHealth): string[] {
  if (runtime.kind === "silent") return [`container runtime is down: ${runtime.message}`];
  const words = { RuntimeReady: "container runtime not ready", NetworkReady: "container runtime network not ready" };
  return Object.entries(words).flatMap(([type, text]) => {
    const found = runtime.conditions.find((condition) => condition.type === type);
    if (found === undefined) return [`${text}: the runtime does not report ${type}`];
    if (found.status) return [];
    return [`${text}: ${type}=false reason:${found.reason} message:${found.message}`];
  });
}

/** The conditions that a kubelet owns of its Node. Pure. */
export function nodeConditions({ runtime, pressure, before, nowMs }: NodeConditionsInput): NodeCondition[] {
  const why = notReadyReasons(runtime);
  const wanted: Omit<NodeCondition, "lastHeartbeatTime" | "lastTransitionTime">[] = [
    pressure.memory
      ? {
          type: "MemoryPressure",
          status: "True",
          reason: "KubeletHasInsufficientMemory",
          message: "kubelet has insufficient memory available",
        }
      : {
          type: "MemoryPressure",
          status: "False",
          reason: "KubeletHasSufficientMemory",
          message: "kubelet has sufficient memory available",
        },
    pressure.disk
      ? { type: "DiskPressure", status: "True", reason: "KubeletHasDiskPressure", message: "kubelet has disk pressure" }
      : {
          type: "DiskPressure",
          status: "False",
          reason: "KubeletHasNoDiskPressure",
          message: "kubelet has no disk pressure",
        },
    pressure.pids
      ? {
          type: "PIDPressure",
          status: "True",
          reason: "KubeletHasInsufficientPID",
          message: "kubelet has insufficient PID available",
        }
      : {
          type: "PIDPressure",
          status: "False",
          reason: "KubeletHasSufficientPID",
          message: "kubelet has sufficient PID available",
        },
    why.length === 0
      ? { type: "Ready", status: "True", reason: "KubeletReady", message: "kubelet is posting ready status" }
      : { type: "Ready", status: "False", reason: "KubeletNotReady", message: why.join("; ") },
  ];
  return wanted.map((condition) => {
    const old = before.find(({ type }) => type === condition.type);
    const kept = old?.status === condition.status ? old.lastTransitionTime : undefined;
    return {
      ...condition,
      lastHeartbeatTime: timestampOf(nowMs),
      lastTransitionTime: kept ?? timestampOf(nowMs),
    };
  });
}
