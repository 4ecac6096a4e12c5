import type { Container, Pod, Probe } from "@tripod/api/kubernetes";
import type { CriClient } from "../cri/cri-client.ts";
import type { ContainerActual } from "../cri/pod-actual.ts";
import type { PodEvents } from "../objects/pod-events.ts";
import { initContainers, isSidecar, regularContainers } from "../pods/pod-facts.ts";
import { ProbeVerdict } from "./probe-verdict.ts";
import { type ProbeInput, type ProbeOutcome, runProbe } from "./run-probe.ts";

type ProbeKind = "startup" | "readiness" | "liveness";

export interface PodProbesOptions {
  readonly cri: CriClient;
  readonly events: PodEvents;
  /** Called when a verdict changes what is to be done or told about the Pod. */
  readonly onChange: () => void;
  /** Replaced in tests. */
  readonly run?: (input: ProbeInput) => Promise<ProbeOutcome>;
}

/** What is known of one running container. */
interface Watched {
  readonly abort: AbortController;
  started: boolean;
  ready: boolean;
  condemned: string | undefined;
}

/** The probes of one Pod's running containers: each a loop of its own, stopped when its container is gone. */
export class PodProbes {
  readonly #options: PodProbesOptions;
  readonly #watched = new Map<string, Watched>();
  #pod: Pod;
  #podIp = "";

  constructor(pod: Pod, options: PodProbesOptions) {
    this.#pod = pod;
    this.#options = options;
  }

  /**
   * Starts the probes of containers that are new and stops those of containers that are gone. A container that the API server already
   * holds for ready or started (before a restart of this process) keeps that until a probe says otherwise.
   */
  reconcile(pod: Pod, running: readonly ContainerActual[], podIp: string): void {
    this.#pod = pod;
    this.#podIp = podIp;
    for (const [id, { abort }] of this.#watched) {
      if (running.some((container) => container.id === id)) continue;
      abort.abort();
      this.#watched.delete(id);
    }
    const specs = [...regularContainers(pod), ...initContainers(pod).filter(isSidecar)];
    for (const container of running) {
      const spec = specs.find(({ name }) => name === container.name);
      if (spec === undefined || this.#watched.has(container.id)) continue;
      this.#watch(spec, container);
    }
  }

  /** Stops every probe. */
  stop(): void {
    for (const { abort } of this.#watched.values()) abort.abort();
    this.#watched.clear();
  }

  isStarted(id: string): boolean {
    return this.#watched.get(id)?.started ?? false;
  }

  isReady(id: string): boolean {
    const found = this.#watched.get(id);
    return found !== undefined && found.started && found.ready;
  }

  /** The containers that have to go, with the reason. */
  condemned(): ReadonlyMap<string, string> {
    return new Map(
      [...this.#watched].flatMap(([id, { condemned }]) => (condemned === undefined ? [] : [[id, condemned]])),
    );
  }

  #watch(spec: Container, container: ContainerActual): void {
    const before = [
      ...(this.#pod.status?.containerStatuses ?? []),
      ...(this.#pod.status?.initContainerStatuses ?? []),
    ].find(({ containerID }) => containerID?.endsWith(`://${container.id}`) === true);
    const watched: Watched = {
      abort: new AbortController(),
      started: spec.startupProbe === undefined || before?.started === true,
      ready: spec.readinessProbe === undefined || before?.ready === true,
      condemned: undefined,
    };
    this.#watched.set(container.id, watched);
    if (!watched.started && spec.startupProbe !== undefined) {
      this.#loop("startup", spec.startupProbe, spec, container, watched);
    } else this.#afterStart(spec, container, watched);
  }

  #afterStart(spec: Container, container: ContainerActual, watched: Watched): void {
    if (spec.readinessProbe !== undefined) this.#loop("readiness", spec.readinessProbe, spec, container, watched);
    if (spec.livenessProbe !== undefined) this.#loop("liveness", spec.livenessProbe, spec, container, watched);
  }

  /** Probes at once (after the initial delay) and then every period, until the container or the Pod is gone. */
  #loop(kind: ProbeKind, probe: Probe, spec: Container, container: ContainerActual, watched: Watched): void {
    const { signal } = watched.abort;
    const run = this.#options.run ?? runProbe;
    const verdict = new ProbeVerdict({ success: probe.successThreshold ?? 1, failure: probe.failureThreshold ?? 3 });
    const periodMs = (probe.periodSeconds ?? 10) * 1000;
    const dueInMs = container.startedAtMs + (probe.initialDelaySeconds ?? 0) * 1000 - Date.now();
    let timer: NodeJS.Timeout | undefined;
    signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
    const later = (delayMs: number): void => {
      timer = setTimeout(() => void once(), delayMs);
    };
    // runProbe() never throws, and what follows it only notes the outcome.
    const once = async (): Promise<void> => {
      const startedMs = performance.now();
      const { cri } = this.#options;
      const outcome = await run({ probe, container: spec, containerId: container.id, podIp: this.#podIp, cri });
      if (signal.aborted) return;
      const done = this.#note(kind, outcome, verdict, { spec, container, watched });
      if (!done) later(Math.max(0, periodMs - (performance.now() - startedMs)));
    };
    later(Math.max(0, dueInMs));
  }

  /** Takes an outcome in; returns true when the loop has nothing more to find out. */
  #note(
    kind: ProbeKind,
    outcome: ProbeOutcome,
    verdict: ProbeVerdict,
    { spec, container, watched }: { spec: Container; container: ContainerActual; watched: Watched },
  ): boolean {
    const { events, onChange } = this.#options;
    const name = `${kind[0]?.toUpperCase()}${kind.slice(1)}`;
    if (!outcome.ok) events.warning(this.#pod, "Unhealthy", `${name} probe failed: ${outcome.message}`, spec.name);
    const found = verdict.observe(outcome.ok);
    if (found === undefined) return false;
    if (kind === "readiness") {
      if (watched.ready !== found) {
        watched.ready = found;
        onChange();
      }
      return false;
    }
    if (!found) {
      watched.condemned = `Container ${container.name} failed ${kind} probe, will be restarted`;
      onChange();
      return true;
    }
    if (kind === "startup") {
      watched.started = true;
      this.#afterStart(spec, container, watched);
      onChange();
      return true;
    }
    return false;
  }
}
