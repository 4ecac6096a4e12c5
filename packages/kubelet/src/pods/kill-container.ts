import type { Container, LifecycleHandler, Pod } from "@tripod/api/kubernetes";
import { isTripodError, messageOf } from "@tripod/base";
import type { ContainerActual } from "../cri/pod-actual.ts";
import { preStopHandlerAnnotation } from "../cri/pod-labels.ts";
import { runHook } from "../containers/lifecycle-hook.ts";
import type { PodContext } from "./pod-context.ts";

/** What is left to the processes after a preStop hook that used the whole grace period up. */
const leastGraceSeconds = 2;

export interface KillContainerInput {
  /** Undefined for a Pod that nobody knows any more. */
  readonly pod: Pod | undefined;
  readonly container: ContainerActual;
  readonly spec: Container | undefined;
  readonly graceSeconds: number;
  readonly podIp: string;
  /** What the Event says; "Stopping container NAME" unless told. */
  readonly message?: string;
}

/** The preStop hook: of the Pod's object, or as it was when the container was made. */
function preStopOf({ spec, container }: KillContainerInput): LifecycleHandler | undefined {
  if (spec !== undefined) return spec.lifecycle?.preStop;
  const noted = container.annotations[preStopHandlerAnnotation];
  if (noted === undefined) return undefined;
  try {
    return JSON.parse(noted) as LifecycleHandler; // written by containerConfig()
  } catch {
    return undefined; // another program's annotation; the container is stopped without a hook
  }
}

/** Ends a running container: its preStop hook and SIGTERM within the grace period, then SIGKILL. */
export async function killContainer(
  input: KillContainerInput,
  context: PodContext,
  signal: AbortSignal,
): Promise<void> {
  const { pod, container, podIp, graceSeconds } = input;
  const { cri, events } = context;
  if (pod !== undefined) {
    events.normal(pod, "Killing", input.message ?? `Stopping container ${container.name}`, container.name);
  }
  const startedMs = performance.now();
  const handler = preStopOf(input);
  let remaining = graceSeconds;
  if (handler !== undefined && container.state === "running") {
    const spec: Container = input.spec ?? { name: container.name };
    try {
      const timeoutMs = graceSeconds * 1000;
      await runHook({ handler, container: spec, containerId: container.id, podIp, cri, timeoutMs, signal });
    } catch (error) {
      signal.throwIfAborted();
      const message = `PreStopHook failed: ${messageOf(error)}`;
      if (pod !== undefined) events.warning(pod, "FailedPreStopHook", message, container.name);
    }
    remaining = Math.max(leastGraceSeconds, graceSeconds - Math.floor((performance.now() - startedMs) / 1000));
  }
  try {
    await cri.runtime.stopContainer(
      { containerId: container.id, timeout: BigInt(remaining) },
      { signal, timeoutMs: (remaining + 120) * 1000 },
    );
  } catch (error) {
    if (!isTripodError(error, "not-found")) throw error;
  }
}
