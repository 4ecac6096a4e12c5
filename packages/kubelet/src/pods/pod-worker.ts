import type { Pod } from "@tripod/api/kubernetes";
import { Backoff, type Logger, messageOf, TripodError } from "@tripod/base";
import { currentTraceparent, withSpan, withTraceparent } from "@tripod/trace";
import { currentSandbox, latestContainer, type PodActual, readPodActual } from "../cri/pod-actual.ts";
import { PodProbes } from "../probes/pod-probes.ts";
import type { MountedVolume } from "../volumes/mounted-volume.ts";
import { ContainerStarts } from "./container-starts.ts";
import { killContainer } from "./kill-container.ts";
import { withLostContainers } from "./lost-containers.ts";
import type { PodContext } from "./pod-context.ts";
import { gracePeriodOf, isTerminalPhase, regularContainers } from "./pod-facts.ts";
import { killPod, removePodRemains } from "./pod-killer.ts";
import { type PodIdentity, podLogFolder } from "./pod-log-folder.ts";
import { type PodPlan, planPod } from "./pod-plan.ts";
import { PodReporter } from "./pod-reporter.ts";
import { createSandbox } from "./pod-sandbox.ts";
import { setUpVolumes } from "./pod-volumes.ts";
import { removeContainer } from "./remove-container.ts";
import { unixMsOf } from "./timestamp.ts";
import { Wake } from "./wake.ts";

/** A Pod is looked at again this often when nothing happens: its tokens and ConfigMaps are renewed then. */
const resyncMs = 240_000;

/** What a look at the Pod found, and what is to be done about it. */
interface View {
  readonly pod: Pod;
  readonly actual: PodActual;
  readonly plan: PodPlan;
}

interface Failure {
  readonly reason: string;
  readonly message: string;
}

/** When to look again: at once, after a time, or (undefined) when woken. "gone": never, the Pod is over and cleaned up. */
type Next = { readonly inMs: number | undefined } | "gone";

const hasWork = (plan: PodPlan): boolean =>
  plan.createSandbox !== undefined ||
  plan.stopSandboxes.length + plan.kill.length + plan.start.length > 0 ||
  plan.removeContainers.length + plan.removeSandboxes.length > 0;

/**
 * Brings one Pod from what the runtime has to what the API server wants, again and again until they agree: level-driven, so that a lost
 * event or a restart costs nothing but time.
 */
export class PodWorker {
  readonly identity: PodIdentity;
  readonly #context: PodContext;
  readonly #log: Logger;
  readonly #wake = new Wake();
  readonly #trouble = new Backoff({ initialMs: 500, maxMs: 60_000 });
  readonly #starts: ContainerStarts;
  readonly #probes: PodProbes | undefined;
  readonly #reporter: PodReporter;
  #pod: Pod | undefined;
  /** The API server has no such Pod any more. */
  #gone: boolean;
  /** Ends the present sync when the Pod is to be deleted, or deleted sooner. */
  #hurry = new AbortController();
  #killEndMs: number | undefined;
  #failure: Failure | undefined;
  #ended = false;
  #initialized = false;
  #started = false;
  /** Some container could not be started in the last sync. */
  #troubled = false;
  #traceparent: string | undefined;
  #volumes: ReadonlyMap<string, MountedVolume> | undefined;

  /** `pod` is undefined for one of which only remains on this node are known. */
  constructor(identity: PodIdentity, pod: Pod | undefined, context: PodContext) {
    this.identity = identity;
    this.#context = context;
    this.#pod = pod;
    this.#gone = pod === undefined;
    this.#log = context.log.child({ pod: `${identity.namespace}/${identity.name}`, uid: identity.uid });
    this.#starts = new ContainerStarts(context, () => this.wake(), this.#log);
    const { cri, events } = context;
    this.#probes = pod === undefined ? undefined : new PodProbes(pod, { cri, events, onChange: () => this.wake() });
    this.#reporter = new PodReporter(identity, this.#probes, context);
  }

  /** The Pod as the API server has it, for whoever serves its logs. */
  get pod(): Pod | undefined {
    return this.#pod;
  }

  /** Takes a new version of the Pod in. */
  update(pod: Pod): void {
    const before = this.#pod;
    this.#pod = pod;
    const relevant = ({ metadata, spec, status }: Pod): string =>
      JSON.stringify([
        spec,
        { ...metadata, resourceVersion: "", managedFields: [] },
        (spec?.readinessGates ?? []).length > 0 && status,
      ]);
    if (before !== undefined && relevant(before) === relevant(pod)) return;
    if (pod.metadata?.deletionTimestamp !== undefined) {
      const endMs = Date.now() + gracePeriodOf(pod) * 1000;
      const sooner = this.#killEndMs === undefined || endMs < this.#killEndMs - 1000;
      this.#killEndMs = Math.min(this.#killEndMs ?? endMs, endMs);
      if (sooner) this.#hurry.abort();
    }
    this.wake();
  }

  /** The API server has removed the Pod: what is left of it must go. */
  deleted(): void {
    this.#gone = true;
    this.#hurry.abort();
    this.wake();
  }

  /** Asks for a look at the Pod. */
  wake(): void {
    this.#wake.call();
  }

  /** Works until the Pod is gone and cleaned up, or the signal aborts (containers then go on). */
  async run(signal: AbortSignal): Promise<void> {
    const pod = this.#pod;
    if (pod !== undefined) {
      this.#context.objects.follow(
        pod,
        () => this.#configurationChanged(),
        () => this.wake(),
      );
      if (pod.metadata?.deletionTimestamp !== undefined) this.#killEndMs = Date.now() + gracePeriodOf(pod) * 1000;
    }
    try {
      while (!signal.aborted) {
        const next = await this.#turn(signal);
        if (next === "gone") return;
        await this.#wake.wait(next.inMs, signal);
      }
    } finally {
      this.#probes?.stop();
      await this.#starts.stop();
      this.#context.objects.unfollow(this.identity.uid);
    }
  }

  /** One turn that never throws: a failure is logged and tried again later. */
  async #turn(signal: AbortSignal): Promise<Next> {
    this.#hurry = new AbortController();
    const either = AbortSignal.any([signal, this.#hurry.signal]);
    try {
      // Until all containers ran once, every attempt belongs to the trace of the Pod's start.
      const next = await (this.#started
        ? this.#sync(either)
        : withTraceparent(this.#traceparent, () => this.#sync(either)));
      if (!this.#troubled) this.#trouble.reset();
      return next;
    } catch (error) {
      if (signal.aborted) return { inMs: undefined };
      if (this.#hurry.signal.aborted) return { inMs: 0 };
      this.#log.warn({ error: messageOf(error) }, "pod sync failed; it is tried again");
      return { inMs: this.#trouble.next() };
    }
  }

  async #sync(signal: AbortSignal): Promise<Next> {
    const pod = this.#pod;
    if (pod === undefined || this.#gone || pod.metadata?.deletionTimestamp !== undefined)
      return this.#terminate(pod, signal);
    if (isTerminalPhase(pod.status?.phase) || this.#failure !== undefined) {
      return this.#end(pod, signal);
    }
    const deadlineMs = this.#deadlineMs(pod);
    if (deadlineMs !== undefined && deadlineMs <= Date.now()) {
      this.#failure = {
        reason: "DeadlineExceeded",
        message: "Pod was active on the node longer than the specified deadline",
      };
      this.#context.events.normal(pod, this.#failure.reason, this.#failure.message);
      return this.#end(pod, signal);
    }
    const view = await this.#look(pod, signal);
    if (view.plan.finished) return this.#end(pod, signal);
    this.#report(view);
    if (!hasWork(view.plan)) {
      this.#troubled = false;
      this.#started ||= this.#allStarted(view);
      await this.#refreshVolumes(view, signal);
      return { inMs: this.#nextLookMs(view) };
    }
    const attributes = this.#attributes();
    if (this.#started || this.#traceparent !== undefined) {
      return withSpan("kubelet.syncPod", attributes, async () => {
        await this.#apply(view, signal);
        return { inMs: 0 };
      });
    }
    return withSpan("kubelet.syncPod", attributes, () => this.#bringUp(view, signal));
  }

  /** The first start, as one span: from the first look until every container runs, or something goes wrong. */
  async #bringUp(first: View, signal: AbortSignal): Promise<Next> {
    this.#traceparent = currentTraceparent();
    for (let view = first; ; ) {
      if (hasWork(view.plan)) await this.#apply(view, signal);
      else await this.#wake.wait(this.#nextLookMs(view), signal);
      signal.throwIfAborted();
      const pod = this.#pod ?? view.pod;
      view = await this.#look(pod, signal);
      if (view.plan.finished || (this.#deadlineMs(pod) ?? Number.POSITIVE_INFINITY) <= Date.now()) return { inMs: 0 };
      this.#report(view);
      this.#started = this.#allStarted(view);
      if (this.#started || this.#troubled || view.plan.backingOff.size > 0) {
        return { inMs: hasWork(view.plan) ? 0 : this.#nextLookMs(view) };
      }
    }
  }

  #attributes() {
    const { namespace, name, uid } = this.identity;
    return { "pod.namespace": namespace, "pod.name": name, "pod.uid": uid };
  }

  async #readActual(pod: Pod | undefined): Promise<PodActual> {
    const actual = await readPodActual(this.#context.cri, this.identity.uid);
    await this.#reporter.keepMessages(actual);
    return pod === undefined ? actual : withLostContainers(pod, actual);
  }

  /** Reads what there is of the Pod and plans what to do. Changes nothing outside. */
  async #look(pod: Pod, signal: AbortSignal): Promise<View> {
    const actual = await this.#readActual(pod);
    signal.throwIfAborted();
    const podIp = currentSandbox(actual)?.ips[0] ?? this.#context.hostIps[0] ?? "127.0.0.1";
    const running = actual.containers.filter(({ state }) => state === "running");
    // Probes live as long as their containers, not as long as the span in which they happen to start.
    withTraceparent(undefined, () => this.#probes?.reconcile(pod, running, podIp));
    const plan = planPod({
      pod,
      actual,
      nowMs: Date.now(),
      condemned: this.#probes?.condemned() ?? new Map(),
      isStarted: (id) => this.#probes?.isStarted(id) ?? false,
      restartAtMs: (exited) => this.#starts.restartAtMs(exited),
      heldUntilMs: (name) => this.#starts.heldUntilMs(name),
    });
    this.#initialized = plan.initialized;
    return { pod, actual, plan };
  }

  #allStarted({ pod, actual }: View): boolean {
    const sandbox = currentSandbox(actual);
    return regularContainers(pod).every(({ name }) => {
      const found = latestContainer(actual, name, sandbox?.id);
      return found?.state === "running" || found?.state === "exited";
    });
  }

  /** Performs a plan. Problems of single containers are noted as their waiting reasons; others are thrown. */
  async #apply({ pod, actual, plan }: View, signal: AbortSignal): Promise<void> {
    const context = this.#context;
    this.#troubled = false;
    const logFolder = podLogFolder(context.layout.podLogsDir, this.identity);
    for (const id of plan.stopSandboxes) await context.cri.runtime.stopPodSandbox({ podSandboxId: id }, { signal });
    await Promise.all(
      plan.kill.map(({ container, spec, message }) => {
        const own = spec.livenessProbe?.terminationGracePeriodSeconds;
        const graceSeconds = own ?? pod.spec?.terminationGracePeriodSeconds ?? 30;
        const podIp = currentSandbox(actual)?.ips[0] ?? context.hostIps[0] ?? "127.0.0.1";
        return killContainer({ pod, container, spec, graceSeconds, podIp, message }, context, signal);
      }),
    );
    for (const container of plan.removeContainers) await removeContainer(container, logFolder, context, signal);
    for (const id of plan.removeSandboxes) await context.cri.runtime.removePodSandbox({ podSandboxId: id }, { signal });
    if (plan.start.length === 0 && plan.createSandbox === undefined) return;
    this.#volumes = await this.#setUpVolumes(pod, actual, signal);
    if (plan.createSandbox !== undefined) await createSandbox(pod, plan.createSandbox, context, signal);
    await this.#startContainers(pod, plan, signal);
  }

  #setUpVolumes(pod: Pod, actual: PodActual, signal: AbortSignal): Promise<ReadonlyMap<string, MountedVolume>> {
    const onNoRoom = (failure: Failure): unknown => (this.#failure = failure);
    return setUpVolumes({ pod, actual, onNoRoom }, this.#context, signal);
  }

  /** Brings the volumes of a running Pod up to date with the API's objects. */
  async #refreshVolumes({ pod, actual }: View, signal: AbortSignal): Promise<void> {
    if (currentSandbox(actual) === undefined || (pod.spec?.volumes ?? []).length === 0) return;
    this.#volumes = await this.#setUpVolumes(pod, actual, signal);
  }

  async #startContainers(pod: Pod, plan: PodPlan, signal: AbortSignal): Promise<void> {
    const actual = await this.#readActual(pod);
    const sandbox = currentSandbox(actual);
    if (sandbox === undefined) throw new TripodError("unavailable", "start containers: the sandbox went away");
    if (plan.createSandbox !== undefined) this.#report({ pod, actual, plan });
    const volumes = this.#volumes ?? new Map<string, MountedVolume>();
    this.#troubled = await this.#starts.start({ pod, steps: plan.start, actual, sandbox, volumes }, signal);
  }

  /** A ConfigMap or Secret of the Pod changed: what failed for want of it is tried again now. */
  #configurationChanged(): void {
    this.#starts.configurationChanged();
    this.wake();
  }

  #deadlineMs(pod: Pod): number | undefined {
    const seconds = pod.spec?.activeDeadlineSeconds;
    const startedMs = unixMsOf(pod.status?.startTime ?? this.#reporter.startTime);
    return seconds === undefined || startedMs === undefined ? undefined : startedMs + seconds * 1000;
  }

  #nextLookMs({ pod, plan }: View): number {
    const times = [...plan.backingOff.values(), plan.heldUntilMs];
    const volumesMs = this.#context.volumes.lookAgainAtMs(this.identity.uid);
    if (volumesMs !== undefined) times.push(volumesMs);
    const deadlineMs = this.#deadlineMs(pod);
    if (deadlineMs !== undefined) times.push(deadlineMs);
    return Math.max(0, Math.min(resyncMs, ...times.map((timeMs) => timeMs - Date.now())));
  }

  #report({ pod, actual, plan }: View): void {
    this.#reporter.report({
      pod,
      actual,
      initialized: this.#initialized,
      ended: false,
      failure: this.#failure,
      waiting: this.#starts.waiting,
      backingOff: new Map(
        [...plan.backingOff].map(([name, untilMs]) => [name, { untilMs, delayMs: this.#starts.crashDelayMs(name) }]),
      ),
    });
  }

  #reportEnd(pod: Pod, actual: PodActual): void {
    this.#reporter.report({
      pod,
      actual,
      initialized: this.#initialized,
      ended: true,
      failure: this.#failure,
      waiting: new Map(),
      backingOff: new Map(),
    });
  }

  /** The Pod has run to its end (or was ended for a reason of the node's): stop the rest, give the volumes back, keep the logs. */
  async #end(pod: Pod, signal: AbortSignal): Promise<Next> {
    if (this.#ended) return { inMs: undefined };
    this.#started = true;
    return withSpan("kubelet.endPod", this.#attributes(), async () => {
      this.#probes?.stop();
      const actual = await this.#readActual(pod);
      const graceSeconds = pod.spec?.terminationGracePeriodSeconds ?? 30;
      await killPod({ pod, actual, graceSeconds }, this.#context, signal);
      this.#reportEnd(pod, await this.#readActual(pod));
      await this.#context.volumes.tearDown(this.identity.uid, signal);
      this.#context.userNamespaces.release(this.identity.uid);
      this.#ended = true;
      return { inMs: undefined };
    });
  }

  /** The Pod is to be deleted: end it within its grace period, clean up everything, and take it out of the API last. */
  async #terminate(pod: Pod | undefined, signal: AbortSignal): Promise<Next> {
    this.#started = true;
    const { volumes, userNamespaces, statuses, images, objects, events } = this.#context;
    const { uid } = this.identity;
    return withTraceparent(undefined, () =>
      withSpan<Next>("kubelet.killPod", this.#attributes(), async () => {
        this.#probes?.stop();
        await this.#starts.stop();
        let actual = await this.#readActual(undefined);
        const leftMs =
          (this.#killEndMs ?? Date.now() + (pod === undefined ? 1 : gracePeriodOf(pod)) * 1000) - Date.now();
        await killPod({ pod, actual, graceSeconds: Math.max(1, Math.ceil(leftMs / 1000)) }, this.#context, signal);
        actual = await this.#readActual(undefined);
        if (pod !== undefined && !this.#gone) {
          this.#reportEnd(pod, withLostContainers(pod, actual));
          await statuses.flush(uid, signal);
          signal.throwIfAborted();
        }
        try {
          await volumes.tearDown(uid, signal);
        } catch (error) {
          if (pod !== undefined && !signal.aborted) events.warning(pod, "FailedUnMount", messageOf(error));
          throw error;
        }
        await removePodRemains(this.identity, actual, this.#context, signal);
        userNamespaces.release(uid);
        images.forget(uid);
        if (pod !== undefined && !this.#gone) await objects.removePod(pod);
        statuses.forget(uid);
        return "gone";
      }),
    );
  }
}
