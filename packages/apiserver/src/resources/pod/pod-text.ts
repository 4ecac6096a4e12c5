import type { ContainerStatus, Pod } from "@tripod/api/kubernetes";
import { age } from "../../table/age.ts";

/** What `kubectl get pods` says of a Pod. */
export interface PodText {
  /** "1/2": containers that are ready, and all. */
  readonly ready: string;
  readonly status: string;
  /** "3 (2m ago)". */
  readonly restarts: string;
}

/** Sums restarts and remembers the last one. */
class Restarts {
  #count = 0;
  #last: string | undefined;

  add(status: ContainerStatus): void {
    this.#count += status.restartCount ?? 0;
    const ended = status.lastState?.terminated?.finishedAt;
    if (ended !== undefined && (this.#last === undefined || ended > this.#last)) this.#last = ended;
  }

  toString(): string {
    return this.#count > 0 && this.#last !== undefined
      ? `${this.#count} (${age(this.#last)} ago)`
      : String(this.#count);
  }
}

function endedReason({ state }: ContainerStatus): string {
  const { reason, signal, exitCode } = state?.terminated ?? {};
  if (reason) return reason;
  return signal ? `Signal:${signal}` : `ExitCode:${exitCode ?? 0}`;
}

const isTrue = (pod: Pod, type: string): boolean =>
  pod.status?.conditions?.some((each) => each.type === type && each.status === "True") === true;

/** Reads a Pod's columns the way upstream's printer does. */
export function podText(pod: Pod): PodText {
  const { spec, status } = pod;
  const sidecars = new Set(
    (spec?.initContainers ?? []).filter((each) => each.restartPolicy === "Always").map((each) => each.name),
  );
  const total = (spec?.containers?.length ?? 0) + sidecars.size;
  let ready = 0;
  let text = status?.reason || status?.phase || "Unknown";
  if (status?.conditions?.some((each) => each.type === "PodScheduled" && each.reason === "SchedulingGated") === true)
    text = "SchedulingGated";

  let initializing: string | undefined;
  const initRestarts = new Restarts();
  const restarts = new Restarts();
  for (const [index, container] of (status?.initContainerStatuses ?? []).entries()) {
    initRestarts.add(container);
    const isSidecar = sidecars.has(container.name);
    if (isSidecar) restarts.add(container);
    const { terminated, waiting } = container.state ?? {};
    if (terminated?.exitCode === 0) continue;
    if (isSidecar && container.started === true) {
      if (container.ready) ready += 1;
      continue;
    }
    if (terminated !== undefined) initializing = `Init:${endedReason(container)}`;
    else if (waiting?.reason && waiting.reason !== "PodInitializing") initializing = `Init:${waiting.reason}`;
    else initializing = `Init:${index}/${spec?.initContainers?.length ?? 0}`;
    break;
  }
  const isThrough = initializing === undefined || isTrue(pod, "Initialized");
  if (initializing !== undefined) text = initializing;
  if (isThrough) {
    let isRunning = false;
    for (const container of (status?.containerStatuses ?? []).toReversed()) {
      restarts.add(container);
      const { waiting, terminated, running } = container.state ?? {};
      if (waiting?.reason) text = waiting.reason;
      else if (terminated !== undefined) text = endedReason(container);
      else if (container.ready && running !== undefined) {
        isRunning = true;
        ready += 1;
      }
    }
    if (text === "Completed" && isRunning) text = isTrue(pod, "Ready") ? "Running" : "NotReady";
  }
  if (pod.metadata.deletionTimestamp !== undefined) {
    if (status?.reason === "NodeLost") text = "Unknown";
    else if (status?.phase !== "Succeeded" && status?.phase !== "Failed") text = "Terminating";
  }
  return { ready: `${ready}/${total}`, status: text, restarts: String(isThrough ? restarts : initRestarts) };
}
