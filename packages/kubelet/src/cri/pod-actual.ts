import { ContainerState, PodSandboxState } from "@tripod/api/cri";
import { isTripodError } from "@tripod/base";
import type { CriClient } from "./cri-client.ts";
import { containerNameLabel, podUidLabel } from "./pod-labels.ts";

/** One sandbox of a Pod as the runtime reports it. */
export interface SandboxActual {
  readonly id: string;
  readonly attempt: number;
  readonly ready: boolean;
  readonly createdAtMs: number;
  /** Addresses, the primary one first; empty for a Pod on the host's network or a dead sandbox. */
  readonly ips: readonly string[];
}

/** One container of a Pod as the runtime reports it. Times are Unix milliseconds, 0 for "not yet". */
export interface ContainerActual {
  readonly id: string;
  readonly name: string;
  readonly attempt: number;
  readonly sandboxId: string;
  readonly state: "created" | "running" | "exited" | "unknown";
  readonly createdAtMs: number;
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
  readonly exitCode: number;
  readonly reason: string;
  readonly message: string;
  /** What the Pod asked for, as far as the runtime kept it. */
  readonly image: string;
  /** What PullImage answered for it. */
  readonly imageRef: string;
  readonly logPath: string;
  readonly annotations: Readonly<Record<string, string>>;
  /** Host paths by the path inside the container. */
  readonly mounts: ReadonlyMap<string, string>;
  readonly user:
    | { readonly uid: number; readonly gid: number; readonly supplementalGroups: readonly number[] }
    | undefined;
}

/** What exists of a Pod. Both lists are newest first. */
export interface PodActual {
  readonly sandboxes: readonly SandboxActual[];
  readonly containers: readonly ContainerActual[];
}

const stateNames: Readonly<Record<number, ContainerActual["state"]>> = {
  [ContainerState.CONTAINER_CREATED]: "created",
  [ContainerState.CONTAINER_RUNNING]: "running",
  [ContainerState.CONTAINER_EXITED]: "exited",
};

const milliseconds = (nanoseconds: bigint): number => Number(nanoseconds / 1_000_000n);

/** The reply, or undefined when the object went away between the listing and the question. */
async function unlessGone<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isTripodError(error, "not-found")) return undefined;
    throw error;
  }
}

async function readSandbox(cri: CriClient, id: string): Promise<SandboxActual | undefined> {
  const reply = await unlessGone(cri.runtime.podSandboxStatus({ podSandboxId: id }));
  const status = reply?.status;
  if (status === undefined) return undefined;
  const network = status.network;
  const ips = network === undefined ? [] : [network.ip, ...network.additionalIps.map(({ ip }) => ip)];
  return {
    id,
    attempt: status.metadata?.attempt ?? 0,
    ready: status.state === PodSandboxState.SANDBOX_READY,
    createdAtMs: milliseconds(status.createdAt),
    ips: ips.filter((ip) => ip !== ""),
  };
}

async function readContainer(cri: CriClient, id: string, sandboxId: string): Promise<ContainerActual | undefined> {
  const reply = await unlessGone(cri.runtime.containerStatus({ containerId: id }));
  const status = reply?.status;
  if (status === undefined) return undefined;
  const user = status.user?.linux;
  return {
    id,
    name: status.labels[containerNameLabel] ?? status.metadata?.name ?? "",
    attempt: status.metadata?.attempt ?? 0,
    sandboxId,
    state: stateNames[status.state] ?? "unknown",
    createdAtMs: milliseconds(status.createdAt),
    startedAtMs: milliseconds(status.startedAt),
    finishedAtMs: milliseconds(status.finishedAt),
    exitCode: status.exitCode,
    reason: status.reason,
    message: status.message,
    image: status.image?.userSpecifiedImage || status.image?.image || "",
    imageRef: status.imageRef || status.imageId,
    logPath: status.logPath,
    annotations: status.annotations,
    mounts: new Map(status.mounts.map((mount) => [mount.containerPath, mount.hostPath])),
    user:
      user === undefined
        ? undefined
        : { uid: Number(user.uid), gid: Number(user.gid), supplementalGroups: user.supplementalGroups.map(Number) },
  };
}

const present = <T>(item: T | undefined): item is T => item !== undefined;

/** Asks the runtime for everything that it has of the Pod `uid`. */
export async function readPodActual(cri: CriClient, uid: string): Promise<PodActual> {
  const labelSelector = { [podUidLabel]: uid };
  const [sandboxList, containerList] = await Promise.all([
    cri.runtime.listPodSandbox({ filter: { labelSelector } }),
    cri.runtime.listContainers({ filter: { labelSelector } }),
  ]);
  const [sandboxes, containers] = await Promise.all([
    Promise.all(sandboxList.items.map(({ id }) => readSandbox(cri, id))),
    Promise.all(containerList.containers.map((item) => readContainer(cri, item.id, item.podSandboxId))),
  ]);
  return {
    sandboxes: sandboxes.filter(present).toSorted((a, b) => b.createdAtMs - a.createdAtMs || b.attempt - a.attempt),
    containers: containers.filter(present).toSorted((a, b) => b.attempt - a.attempt || b.createdAtMs - a.createdAtMs),
  };
}

/** The sandbox that a Pod's containers may live in now: the newest, while it is ready. */
export function currentSandbox(actual: PodActual): SandboxActual | undefined {
  const newest = actual.sandboxes[0];
  return newest?.ready === true ? newest : undefined;
}

/** The newest container called `name`, in the given sandbox alone when one is given. */
export function latestContainer(actual: PodActual, name: string, sandboxId?: string): ContainerActual | undefined {
  return actual.containers.find(
    (container) => container.name === name && (sandboxId === undefined || container.sandboxId === sandboxId),
  );
}
