import { type Event, type KubernetesObject, type ObjectReference, timeNow } from "@tripod/api/kubernetes";
import { AsyncQueue, codeOf, type Logger, messageOf, TaskOwner } from "@tripod/base";
import { abortableDelay } from "./connection.ts";
import { EventCorrelator } from "./event-correlator.ts";
import type { ResourceClient } from "./resource-client.ts";

export interface EventRecorderOptions {
  /** client.resource(events). */
  readonly events: Pick<ResourceClient<Event>, "create" | "patch">;
  /** Who reports, for example "kubelet" or "default-scheduler". */
  readonly component: string;
  /** The node, where the reporter belongs to one. */
  readonly host?: string;
  readonly log: Logger;
}

export interface NewEvent {
  /** What it is about: an object, or a reference to one (with a fieldPath, for a container). */
  readonly about: KubernetesObject | ObjectReference;
  readonly type: "Normal" | "Warning";
  /** One word in camel case, for example "FailedScheduling". */
  readonly reason: string;
  /** For people; cut at 1024 characters. */
  readonly message: string;
}

const mostWaiting = 1000;
const longestMessage = 1024;
const mostAttempts = 5;

/** The reference by which events name an object. Objects out of lists and watches must carry kind and apiVersion. */
export function referenceTo(object: KubernetesObject): ObjectReference {
  const { name, namespace, uid, resourceVersion } = object.metadata;
  const { apiVersion, kind } = object;
  return {
    ...(apiVersion === undefined ? {} : { apiVersion }),
    ...(kind === undefined ? {} : { kind }),
    ...(name === undefined ? {} : { name }),
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  };
}

/** Writes Events in the background: repeated ones are counted, floods are combined and bounded (see EventCorrelator). */
export class EventRecorder implements AsyncDisposable {
  readonly #options: EventRecorderOptions;
  readonly #correlator = new EventCorrelator();
  readonly #queue = new AsyncQueue<NewEvent>();
  readonly #owner: TaskOwner;
  #serial = 0;
  #dropped = 0;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#owner = new TaskOwner(`events of ${options.component}`, options.log);
    this.#owner.run("write", (signal) => this.#run(signal));
  }

  /** Records an event; returns at once. When the API server is away for long, events are dropped and counted in the log. */
  record(event: NewEvent): void {
    if (this.#queue.length >= mostWaiting) {
      this.#dropped += 1;
      if (this.#dropped === 1) this.#options.log.warn({ waiting: mostWaiting }, "too many events wait, dropping");
      return;
    }
    this.#queue.push(event);
  }

  /** Writes what waits, for a second at most, and stops. */
  async close(): Promise<void> {
    this.#queue.close();
    const timer = setTimeout(() => void this.#owner.stop(), 1000);
    await this.#finished.promise;
    clearTimeout(timer);
    await this.#owner.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  readonly #finished = Promise.withResolvers<void>();

  async #run(signal: AbortSignal): Promise<void> {
    try {
      for await (const event of this.#queue) {
        if (signal.aborted) return;
        if (this.#dropped > 0 && this.#queue.length < mostWaiting / 2) {
          this.#options.log.warn({ dropped: this.#dropped }, "events were dropped");
          this.#dropped = 0;
        }
        await this.#write(event, signal);
      }
    } finally {
      this.#finished.resolve();
    }
  }

  async #write(event: NewEvent, signal: AbortSignal): Promise<void> {
    const about = "metadata" in event.about ? referenceTo(event.about) : event.about;
    const namespace = about.namespace ?? "default";
    const object = [about.kind, about.namespace, about.name, about.uid, about.fieldPath].join("/");
    const whole = event.message.slice(0, longestMessage);
    const correlated = this.#correlator.correlate(
      { object, type: event.type, reason: event.reason, message: whole },
      Date.now(),
    );
    if (correlated.kind === "drop") return;
    for (let attempt = 1; ; attempt += 1) {
      try {
        const now = timeNow();
        if (correlated.kind === "repeat") {
          const { name, count, message } = correlated;
          await this.#options.events.patch(name, { count, message, lastTimestamp: now }, { namespace, signal });
          return;
        }
        const created = await this.#options.events.create(
          this.#object(event, about, namespace, correlated.message.slice(0, longestMessage), now),
          { namespace, signal },
        );
        this.#correlator.written(correlated.cacheKey, created.metadata.name);
        return;
      } catch (error) {
        const code = codeOf(error);
        if (correlated.kind === "repeat" && code === "not-found") {
          this.#correlator.gone(correlated.cacheKey);
          return this.#write(event, signal);
        }
        const passing =
          code === "unavailable" || code === "timeout" || code === "exhausted" || code === "already-exists";
        if (signal.aborted || !passing || attempt >= mostAttempts) {
          // A namespace that is being deleted refuses new events; that is no fault.
          const fields = { reason: event.reason, about: about.name, error: messageOf(error) };
          if (code === "permission-denied" || code === "not-found")
            this.#options.log.debug(fields, "event was refused");
          else this.#options.log.warn(fields, "event was not written");
          return;
        }
        await abortableDelay(200 * 2 ** attempt, signal).catch(() => {});
      }
    }
  }

  #object(event: NewEvent, about: ObjectReference, namespace: string, message: string, now: string): Event {
    const { component, host } = this.#options;
    this.#serial = (this.#serial + 1) % 4096;
    // Unique per object and instant, and sortable, as upstream's names are.
    const suffix = (BigInt(Date.now()) * 4096n + BigInt(this.#serial)).toString(16);
    return {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: `${(about.name ?? "unknown").slice(0, 200)}.${suffix}`, namespace },
      involvedObject: about,
      type: event.type,
      reason: event.reason,
      message,
      source: { component, ...(host === undefined ? {} : { host }) },
      reportingComponent: component,
      reportingInstance: host ?? "",
      firstTimestamp: now,
      lastTimestamp: now,
      count: 1,
    };
  }
}
