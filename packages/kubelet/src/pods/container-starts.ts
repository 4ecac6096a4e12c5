import type { Pod } from "@tripod/api/kubernetes";
import { type Logger, messageOf } from "@tripod/base";
import { StartError } from "../containers/start-error.ts";
import { type ContainerActual, latestContainer, type PodActual, type SandboxActual } from "../cri/pod-actual.ts";
import type { MountedVolume } from "../volumes/mounted-volume.ts";
import type { WaitingReason } from "./container-status.ts";
import { CrashBackoff } from "./crash-backoff.ts";
import { ImagePulls } from "./image-pulls.ts";
import type { PodContext } from "./pod-context.ts";
import type { StartStep } from "./pod-plan.ts";
import { podSandboxConfig, writeHostsFile } from "./pod-sandbox.ts";
import { createContainer, startContainer } from "./start-container.ts";

/** After a container could not be created or run. */
const startRetryMs = 10_000;
/** After a failed pull the next look says ImagePullBackOff, soon; then it waits the back-off out. */
const pullRetryMs = 1000;

export interface StartContainersInput {
  readonly pod: Pod;
  readonly steps: readonly StartStep[];
  readonly actual: PodActual;
  readonly sandbox: SandboxActual;
  readonly volumes: ReadonlyMap<string, MountedVolume>;
}

const pullReasons: ReadonlySet<string> = new Set([
  "ErrImagePull",
  "InvalidImageName",
  "RegistryUnavailable",
  "SignatureValidationFailed",
]);

/** Starts one Pod's containers, and remembers which of them have to wait, why and until when. */
export class ContainerStarts {
  readonly #context: PodContext;
  readonly #crashes = new CrashBackoff();
  readonly #pulls: ImagePulls;
  readonly #waiting = new Map<string, WaitingReason>();
  readonly #retryAtMs = new Map<string, number>();

  /** `onPulled` is called when a pull ends, well or not. */
  constructor(context: PodContext, onPulled: () => void, log: Logger) {
    this.#context = context;
    this.#pulls = new ImagePulls(context, onPulled, log);
  }

  /** Why containers wait, by name. */
  get waiting(): ReadonlyMap<string, WaitingReason> {
    return this.#waiting;
  }

  /** When an exited container may run again, in Unix ms. */
  restartAtMs(exited: ContainerActual): number {
    return this.#crashes.restartAtMs(exited);
  }

  /** The present back-off of a crashing container, in milliseconds. */
  crashDelayMs(name: string): number {
    return this.#crashes.delayMs(name);
  }

  /** Until when a start is put off; Infinity while the image is being pulled, 0 for no reason to wait. */
  heldUntilMs(name: string): number {
    return this.#pulls.isRunning(name) ? Number.POSITIVE_INFINITY : (this.#retryAtMs.get(name) ?? 0);
  }

  /** A ConfigMap or Secret of the Pod changed: what failed for want of it is tried again now. */
  configurationChanged(): void {
    for (const [name, { reason }] of this.#waiting) {
      if (reason === "CreateContainerConfigError") this.#retryAtMs.delete(name);
    }
  }

  stop(): Promise<void> {
    return this.#pulls.stop();
  }

  /** Takes each step as far as it goes: a container whose image is still being pulled comes later. Returns whether any failed. */
  async start(input: StartContainersInput, signal: AbortSignal): Promise<boolean> {
    const { pod, steps, actual, sandbox, volumes } = input;
    const sandboxConfig = await podSandboxConfig(pod, sandbox.attempt, this.#context);
    // All pulls begin before the first container does.
    const containers = steps.map(({ container }) => container);
    const outcomes = await this.#pulls.take(pod, containers, sandboxConfig);
    const podIps = pod.spec?.hostNetwork === true ? this.#context.hostIps : sandbox.ips;
    const hostsFile = await writeHostsFile(pod, podIps, this.#context);
    // Created side by side, started one after another: a container may count on those before it.
    const created = steps.map(async (step, index) => {
      const outcome = outcomes[index];
      if (outcome === undefined) return undefined; // the end of the pull wakes the worker
      if ("error" in outcome) throw outcome.error;
      const { images } = outcome;
      const latest = latestContainer(actual, step.container.name);
      if (latest !== undefined && latest.state !== "created") this.#crashes.restarted(latest, Date.now());
      const one = { pod, step, images, sandbox, sandboxConfig, actual, volumes, hostsFile };
      return { one, containerId: await createContainer(one, this.#context, signal) };
    });
    // Each is waited for below; until then a failure is nobody's.
    const settled = Promise.allSettled(created);
    let failed = false;
    for (const [index, { container }] of steps.entries()) {
      try {
        const made = await created[index];
        if (made === undefined) continue;
        await startContainer(made.one, made.containerId, this.#context, signal);
        this.#waiting.delete(container.name);
        this.#retryAtMs.delete(container.name);
      } catch (error) {
        if (signal.aborted) await settled;
        signal.throwIfAborted();
        this.#noteFailure(container.name, error);
        failed = true;
      }
    }
    return failed;
  }

  #noteFailure(name: string, error: unknown): void {
    const known = error instanceof StartError ? error : undefined;
    const reason = known?.reason ?? "CreateContainerError";
    this.#waiting.set(name, { reason, message: messageOf(error) });
    const pulling = pullReasons.has(reason);
    this.#retryAtMs.set(name, pulling ? Date.now() + pullRetryMs : (known?.retryAtMs ?? Date.now() + startRetryMs));
  }
}
