import type { Container, ContainerState, ContainerStatus } from "@tripod/api/kubernetes";
import { type ContainerActual, type PodActual } from "../cri/pod-actual.ts";
import { timestampOf } from "./timestamp.ts";

/** Why a container is not running, as kubectl shows it. */
export interface WaitingReason {
  readonly reason: string;
  readonly message?: string;
}

export interface ContainerStatusInput {
  readonly container: Container;
  readonly actual: PodActual;
  /** What holds the container's (next) start up; undefined when nothing does. */
  readonly waiting: WaitingReason | undefined;
  /** The reason for a container of which nothing exists yet and that nothing in particular holds up. */
  readonly initialReason: "ContainerCreating" | "PodInitializing";
  /** "cri-name" of `cri-name://id`. */
  readonly runtimeName: string;
  readonly isReady: (container: ContainerActual) => boolean;
  readonly isStarted: (container: ContainerActual) => boolean;
  readonly terminationMessage: (container: ContainerActual) => string | undefined;
}

/** The end of a container as the API tells it. */
function terminatedState(
  exited: ContainerActual,
  runtimeName: string,
  message: string | undefined,
): NonNullable<ContainerState["terminated"]> {
  const text = message ?? exited.message;
  return {
    exitCode: exited.exitCode,
    reason: exited.reason || (exited.exitCode === 0 ? "Completed" : "Error"),
    ...(text === "" ? {} : { message: text }),
    ...(exited.startedAtMs > 0 ? { startedAt: timestampOf(exited.startedAtMs) } : {}),
    ...(exited.finishedAtMs > 0 ? { finishedAt: timestampOf(exited.finishedAtMs) } : {}),
    ...(exited.id === "" ? {} : { containerID: `${runtimeName}://${exited.id}` }),
  };
}

/** One container's entry in the Pod's status. Pure. */
export function containerStatus(input: ContainerStatusInput): ContainerStatus {
  const { container, actual, runtimeName, waiting } = input;
  const [latest, ...older] = actual.containers.filter(({ name }) => name === container.name);
  const terminated = (exited: ContainerActual) =>
    terminatedState(exited, runtimeName, input.terminationMessage(exited));
  const lastOf = (exited: ContainerActual | undefined): ContainerState =>
    exited === undefined ? {} : { terminated: terminated(exited) };
  const olderExited = older.find(({ state }) => state === "exited" || state === "unknown");
  const base = {
    name: container.name,
    image: container.image ?? "",
    imageID: latest?.imageRef ?? "",
    restartCount: latest?.attempt ?? 0,
    ready: false,
    started: false,
    ...(latest === undefined || latest.id === "" ? {} : { containerID: `${runtimeName}://${latest.id}` }),
  };
  if (latest === undefined || latest.state === "created") {
    const state = { waiting: { ...(waiting ?? { reason: input.initialReason }) } };
    return { ...base, state, lastState: lastOf(olderExited) };
  }
  if (latest.state === "running") {
    return {
      ...base,
      state: { running: { startedAt: timestampOf(latest.startedAtMs) } },
      lastState: lastOf(olderExited),
      ready: input.isReady(latest),
      started: input.isStarted(latest),
      ...(latest.user === undefined
        ? {}
        : { user: { linux: { ...latest.user, supplementalGroups: [...latest.user.supplementalGroups] } } }),
    };
  }
  if (waiting !== undefined) {
    return { ...base, state: { waiting: { ...waiting } }, lastState: { terminated: terminated(latest) } };
  }
  return { ...base, state: { terminated: terminated(latest) }, lastState: lastOf(olderExited) };
}
