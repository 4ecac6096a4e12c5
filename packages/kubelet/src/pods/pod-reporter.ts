import type { Pod, PodStatus } from "@tripod/api/kubernetes";
import type { PodActual } from "../cri/pod-actual.ts";
import type { PodProbes } from "../probes/pod-probes.ts";
import type { WaitingReason } from "./container-status.ts";
import type { PodContext } from "./pod-context.ts";
import { nameOf, namespaceOf, uidOf } from "./pod-facts.ts";
import { type PodIdentity, podLogFolder } from "./pod-log-folder.ts";
import { podStatus } from "./pod-status.ts";
import { readTerminationMessage } from "./termination-message.ts";

export interface Report {
  readonly pod: Pod;
  readonly actual: PodActual;
  /** The Pod got past its init containers. */
  readonly initialized: boolean;
  /** Nothing of the Pod runs any more, nor will. */
  readonly ended: boolean;
  readonly failure: { readonly reason: string; readonly message: string } | undefined;
  readonly waiting: ReadonlyMap<string, WaitingReason>;
  /** Containers that wait out a crash: until when (Unix ms), and how long the wait is in milliseconds. */
  readonly backingOff: ReadonlyMap<string, { readonly untilMs: number; readonly delayMs: number }>;
}

/** Tells the API server how one Pod is. */
export class PodReporter {
  readonly #identity: PodIdentity;
  readonly #context: PodContext;
  readonly #probes: PodProbes | undefined;
  /** Last words by container id; they outlive the files that they were read from. */
  readonly #messages = new Map<string, string>();
  readonly #backoffTold = new Map<string, number>();
  #last: PodStatus | undefined;

  constructor(identity: PodIdentity, probes: PodProbes | undefined, context: PodContext) {
    this.#identity = identity;
    this.#probes = probes;
    this.#context = context;
  }

  /** When the Pod was first seen by this node, as last reported. */
  get startTime(): string | undefined {
    return this.#last?.startTime;
  }

  /** Reads the last words of containers that have died since the last look. */
  async keepMessages({ containers }: PodActual): Promise<void> {
    const logFolder = podLogFolder(this.#context.layout.podLogsDir, this.#identity);
    for (const container of containers) {
      if (container.state !== "exited" || this.#messages.has(container.id)) continue;
      const found = await readTerminationMessage(container, logFolder);
      this.#messages.set(container.id, found === "" ? container.message : found);
    }
    const ids = new Set(containers.map(({ id }) => id));
    for (const id of this.#messages.keys()) if (!ids.has(id)) this.#messages.delete(id);
  }

  /** Has the status written that follows from what was seen; nothing is sent when the API server has it already. */
  report({ pod, actual, waiting, backingOff, ...rest }: Report): void {
    const reasons = new Map(waiting);
    for (const [name, { untilMs, delayMs }] of backingOff) {
      const whole = `${nameOf(pod)}_${namespaceOf(pod)}(${uidOf(pod)})`;
      const message = `back-off ${Math.round(delayMs / 1000)}s restarting failed container=${name} pod=${whole}`;
      reasons.set(name, { reason: "CrashLoopBackOff", message });
      if (this.#backoffTold.get(name) === untilMs) continue;
      this.#backoffTold.set(name, untilMs);
      this.#context.events.warning(
        pod,
        "BackOff",
        `Back-off restarting failed container ${name} in pod ${whole}`,
        name,
      );
    }
    const status = podStatus({
      ...rest,
      pod: this.#withOwnStatus(pod),
      actual,
      runtimeName: this.#context.runtimeName(),
      hostIps: this.#context.hostIps,
      nowMs: Date.now(),
      waiting: rest.ended ? new Map() : reasons,
      isReady: ({ id }) => this.#probes?.isReady(id) ?? false,
      isStarted: ({ id }) => this.#probes?.isStarted(id) ?? false,
      terminationMessage: ({ id }) => this.#messages.get(id),
    });
    this.#last = status;
    this.#context.statuses.set(pod, status);
  }

  /** The Pod with the status last written, which the watch may not have brought back yet. */
  #withOwnStatus(pod: Pod): Pod {
    if (this.#last === undefined) return pod;
    const own = this.#last.conditions ?? [];
    const foreign = (pod.status?.conditions ?? []).filter(({ type }) => !own.some((each) => each.type === type));
    return { ...pod, status: { ...pod.status, ...this.#last, conditions: [...foreign, ...own] } };
  }
}
