import type { ContainerStatus, Pod } from "@tripod/api/kubernetes";
import type { ContainerActual, PodActual } from "../cri/pod-actual.ts";
import { unixMsOf } from "./timestamp.ts";

/** The exit code reported for a container whose end nobody saw. */
const unseenExitCode = 137;

function remembered(status: ContainerStatus): ContainerActual | undefined {
  const { state = {}, lastState } = status;
  const ended = state.terminated ?? (state.waiting === undefined ? undefined : lastState?.terminated);
  if (ended === undefined && state.running === undefined) return undefined;
  const startedAtMs = unixMsOf(ended?.startedAt ?? state.running?.startedAt) ?? 0;
  return {
    id: "",
    name: status.name,
    attempt: status.restartCount ?? 0,
    sandboxId: "",
    state: "exited",
    createdAtMs: startedAtMs,
    startedAtMs,
    finishedAtMs: unixMsOf(ended?.finishedAt) ?? 0,
    exitCode: ended?.exitCode ?? unseenExitCode,
    reason: ended?.reason ?? "ContainerStatusUnknown",
    message:
      ended === undefined ? "The container could not be located when the pod was looked at" : (ended.message ?? ""),
    image: status.image ?? "",
    imageRef: status.imageID ?? "",
    logPath: "",
    annotations: {},
    mounts: new Map(),
    user: undefined,
  };
}

/**
 * Adds to what the runtime has those containers that it has forgotten (a reboot, a cleaned /run) and the Pod's status in the API still
 * tells of, so that restart counts and a finished Pod's end survive.
 */
export function withLostContainers(pod: Pod, actual: PodActual): PodActual {
  const known = new Set(actual.containers.map(({ name }) => name));
  const statuses = [
    ...(pod.status?.initContainerStatuses ?? []),
    ...(pod.status?.containerStatuses ?? []),
    ...(pod.status?.ephemeralContainerStatuses ?? []),
  ];
  const lost = statuses.flatMap((status) => {
    const found = known.has(status.name) ? undefined : remembered(status);
    return found === undefined ? [] : [found];
  });
  return lost.length === 0 ? actual : { sandboxes: actual.sandboxes, containers: [...actual.containers, ...lost] };
}
