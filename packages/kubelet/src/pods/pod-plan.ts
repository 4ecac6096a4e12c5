import type { Container, Pod } from "@tripod/api/kubernetes";
import { containerHashAnnotation } from "../cri/pod-labels.ts";
import { type ContainerActual, currentSandbox, latestContainer, type PodActual } from "../cri/pod-actual.ts";
import {
  containerHash,
  ephemeralContainers,
  initContainers,
  isSidecar,
  regularContainers,
  restartPolicyOf,
} from "./pod-facts.ts";

export type ContainerKind = "init" | "sidecar" | "regular" | "ephemeral";

export interface StartStep {
  readonly container: Container;
  readonly kind: ContainerKind;
  /** How often a container of this name was made before in this Pod: its restart count. */
  readonly attempt: number;
}

export interface KillStep {
  readonly container: ContainerActual;
  readonly spec: Container;
  /** For people, in the Event. */
  readonly message: string;
}

/** What to do now to bring a Pod from what is there to what is wanted. Everything empty: nothing to do. */
export interface PodPlan {
  /** Sandboxes to stop, with whatever runs in them. */
  readonly stopSandboxes: readonly string[];
  /** The attempt number of a sandbox to create. */
  readonly createSandbox: number | undefined;
  readonly kill: readonly KillStep[];
  /** Containers to start once the sandbox is up, in this order. */
  readonly start: readonly StartStep[];
  /** Containers that wait out a crash: the time (Unix ms) at which each may start again, by name. */
  readonly backingOff: ReadonlyMap<string, number>;
  /** When the first of the containers that are put off may be looked at again; Infinity for none. */
  readonly heldUntilMs: number;
  /** Dead containers and sandboxes that tell nothing any more. */
  readonly removeContainers: readonly ContainerActual[];
  readonly removeSandboxes: readonly string[];
  /** Every init container has done its work (or may be passed over, because the Pod got beyond it). */
  readonly initialized: boolean;
  /** The Pod has run to its end and will not start anything again. */
  readonly finished: boolean;
}

export interface PlanInput {
  readonly pod: Pod;
  readonly actual: PodActual;
  readonly nowMs: number;
  /** Containers (by id) that a probe condemned, with the reason. */
  readonly condemned: ReadonlyMap<string, string>;
  /** Whether a running container has passed its startup probe and its postStart hook. */
  readonly isStarted: (containerId: string) => boolean;
  /** When an exited container may be started again, in Unix ms. */
  readonly restartAtMs: (exited: ContainerActual) => number;
  /** Until when the start of a container is put off for another reason (its image is being pulled, its last start failed); 0 for none. */
  readonly heldUntilMs: (name: string) => number;
}

/** Whether the Pod's restart policy wants a container run (again), given the newest one of its name. */
function wantsRun(policy: "Always" | "OnFailure" | "Never", latest: ContainerActual | undefined): boolean {
  if (latest === undefined || latest.state === "created") return true;
  if (latest.state === "running") return false;
  return policy === "Always" || (policy === "OnFailure" && latest.exitCode !== 0);
}

/** Collects steps while walking a Pod's containers. */
class Steps {
  readonly #input: PlanInput;
  readonly start: StartStep[] = [];
  readonly kill: KillStep[] = [];
  readonly backingOff = new Map<string, number>();
  heldUntilMs = Number.POSITIVE_INFINITY;

  constructor(input: PlanInput) {
    this.#input = input;
  }

  /** Starts the container, or waits when its last run ended too short a time ago. */
  startOrWait(container: Container, kind: ContainerKind): void {
    const heldMs = this.#input.heldUntilMs(container.name);
    if (heldMs > this.#input.nowMs) {
      this.heldUntilMs = Math.min(this.heldUntilMs, heldMs);
      return;
    }
    const latest = latestContainer(this.#input.actual, container.name);
    if (latest !== undefined && latest.state !== "created") {
      const atMs = this.#input.restartAtMs(latest);
      if (atMs > this.#input.nowMs) {
        this.backingOff.set(container.name, atMs);
        return;
      }
    }
    // One that was created and never started is made again under its own number: nobody saw it run.
    const attempt = latest === undefined ? 0 : latest.state === "created" ? latest.attempt : latest.attempt + 1;
    this.start.push({ container, kind, attempt });
  }

  /** Kills a running container that a probe condemned or whose image was changed. */
  killIfUnfit(container: Container, running: ContainerActual): void {
    const condemned = this.#input.condemned.get(running.id);
    const hash = running.annotations[containerHashAnnotation];
    if (condemned !== undefined) this.kill.push({ container: running, spec: container, message: condemned });
    else if (hash !== undefined && hash !== containerHash(container)) {
      const message = `Container ${container.name} definition changed, will be restarted`;
      this.kill.push({ container: running, spec: container, message });
    }
  }
}

/**
 * Walks the init containers in order and says how far the Pod has come: "done" once the ordinary containers may run, "failed" when an
 * init container ended badly and may not run again.
 */
function walkInitContainers(
  input: PlanInput,
  steps: Steps,
  sandboxId: string | undefined,
): "waiting" | "done" | "failed" {
  const { pod, actual } = input;
  const policy = restartPolicyOf(pod);
  const inits = initContainers(pod);
  const here = (container: Container): ContainerActual | undefined =>
    sandboxId === undefined ? undefined : latestContainer(actual, container.name, sandboxId);
  // A container of a later stage proves that the earlier stages were done, even when their records are gone.
  const initialized = regularContainers(pod).some((container) => here(container) !== undefined);
  const lastSeen = inits.findLastIndex((container) => here(container) !== undefined);
  for (const [index, container] of inits.entries()) {
    const found = here(container);
    if (isSidecar(container)) {
      if (found?.state === "running") {
        steps.killIfUnfit(container, found);
        if (!initialized && !input.isStarted(found.id)) return "waiting";
      } else {
        steps.startOrWait(container, "sidecar");
        if (!initialized) return "waiting";
      }
      continue;
    }
    if (initialized || index < lastSeen) continue;
    if (found?.state === "running") return "waiting";
    if (found?.state === "exited" && found.exitCode === 0) continue;
    const latest = latestContainer(actual, container.name);
    if (policy === "Never" && latest !== undefined && latest.state !== "created" && latest.exitCode !== 0)
      return "failed";
    steps.startOrWait(container, "init");
    return "waiting";
  }
  return "done";
}

/** Which dead containers and sandboxes can go: of each name the newest stays, and the newest dead one before a living one. */
function planRemovals(
  actual: PodActual,
  currentId: string | undefined,
): Pick<PodPlan, "removeContainers" | "removeSandboxes"> {
  const kept = new Map<string, { alive: boolean; dead: boolean }>();
  const removeContainers: ContainerActual[] = [];
  const keptSandboxes = new Set<string>();
  for (const container of actual.containers) {
    const seen = kept.get(container.name) ?? { alive: false, dead: false };
    const dead = container.state !== "running";
    const keep = dead ? !seen.dead && container.state !== "created" : true;
    if (keep) keptSandboxes.add(container.sandboxId);
    else if (container.id !== "") removeContainers.push(container);
    kept.set(container.name, dead ? { ...seen, dead: seen.dead || keep } : { ...seen, alive: true });
  }
  const newest = actual.sandboxes[0]?.id;
  const removeSandboxes = actual.sandboxes
    .filter(({ id, ready }) => id !== currentId && id !== newest && !ready && !keptSandboxes.has(id))
    .map(({ id }) => id);
  return { removeContainers, removeSandboxes };
}

/** Whether every ordinary container has ended and none is to run again. */
function containersDone(pod: Pod, actual: PodActual): boolean {
  const policy = restartPolicyOf(pod);
  if (policy === "Always") return false;
  return regularContainers(pod).every((container) => {
    const latest = latestContainer(actual, container.name);
    return latest !== undefined && latest.state !== "running" && !wantsRun(policy, latest);
  });
}

/** Plans the next steps of a Pod that is wanted and has not reached its end. Pure. */
export function planPod(input: PlanInput): PodPlan {
  const { pod, actual } = input;
  const policy = restartPolicyOf(pod);
  const ready = currentSandbox(actual);
  const hostNetwork = pod.spec?.hostNetwork === true;
  const current = ready !== undefined && (hostNetwork || ready.ips.length > 0) ? ready : undefined;
  const steps = new Steps(input);
  const removals = planRemovals(actual, current?.id);
  const inUse = (id: string): boolean =>
    actual.containers.some((item) => item.sandboxId === id && item.state === "running");
  const strays = actual.sandboxes
    .filter((item) => item !== current && (item.ready || inUse(item.id)))
    .map(({ id }) => id);
  const finishedPlan = (): PodPlan => ({
    stopSandboxes: [],
    createSandbox: undefined,
    kill: [],
    start: [],
    backingOff: new Map(),
    heldUntilMs: Number.POSITIVE_INFINITY,
    ...removals,
    initialized: true,
    finished: true,
  });
  if (containersDone(pod, actual)) return finishedPlan();

  const stage = walkInitContainers(input, steps, current?.id);
  if (stage === "failed") return { ...finishedPlan(), initialized: false };
  if (stage === "done") {
    for (const container of regularContainers(pod)) {
      const found = current === undefined ? undefined : latestContainer(actual, container.name, current.id);
      if (found?.state === "running") steps.killIfUnfit(container, found);
      else {
        // A run in an earlier sandbox counts for the policy, but one that was cut off with its sandbox is not "running".
        const latest = latestContainer(actual, container.name);
        const wanted = latest?.state === "running" ? policy !== "Never" : wantsRun(policy, latest);
        if (wanted) steps.startOrWait(container, "regular");
      }
    }
  }
  if (current !== undefined) {
    for (const container of ephemeralContainers(pod)) {
      if (latestContainer(actual, container.name) === undefined) {
        steps.startOrWait(container, "ephemeral");
      }
    }
  }
  const needsSandbox = current === undefined && (steps.start.length > 0 || actual.sandboxes.length === 0);
  return {
    stopSandboxes: needsSandbox ? actual.sandboxes.map(({ id }) => id) : strays,
    createSandbox: needsSandbox ? (actual.sandboxes[0]?.attempt ?? -1) + 1 : undefined,
    kill: steps.kill,
    start: steps.start,
    backingOff: steps.backingOff,
    heldUntilMs: steps.heldUntilMs,
    ...removals,
    initialized: stage === "done",
    finished: false,
  };
}
