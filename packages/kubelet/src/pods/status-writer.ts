import type { Pod, PodStatus } from "@tripod/api/kubernetes";
import { Backoff, isTripodError, type Logger, messageOf, TaskOwner } from "@tripod/base";
import { setTimeout as sleep } from "node:timers/promises";
import { nameOf, namespaceOf, uidOf } from "./pod-facts.ts";

/** Sends a patch of a Pod's status; "not-found" when the Pod is gone. */
export type PatchStatus = (pod: Pod, patch: object) => Promise<unknown>;

interface Entry {
  pod: Pod;
  wanted: PodStatus;
  /** What the API server has, as far as is known, as text. */
  written: string;
  busy: boolean;
  waiters: (() => void)[];
}

/** A status as text that is the same for the same status, whatever the order in which its fields were written. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) =>
    typeof item === "object" && item !== null && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );
}

/** The fields that a kubelet owns out of a whole status. */
function owned(status: PodStatus, like: PodStatus): PodStatus {
  const types = new Set((like.conditions ?? []).map(({ type }) => type));
  const conditions = (status.conditions ?? []).filter(({ type }) => types.has(type));
  const order = (like.conditions ?? []).map(({ type }) => type);
  const keys = Object.keys(like);
  return {
    ...Object.fromEntries(Object.entries(status).filter(([key]) => keys.includes(key))),
    conditions: conditions.toSorted((a, b) => order.indexOf(a.type) - order.indexOf(b.type)),
  };
}

/** The strategic merge patch from what the API server has to what is wanted. */
export function statusPatch(pod: Pod, wanted: PodStatus): object {
  const had = (pod.status ?? {}) as Record<string, unknown>; // compared by key only
  const gone = ["reason", "message"].filter((key) => had[key] !== undefined && !(key in wanted));
  const replaceIps = (pod.status?.podIPs ?? []).some(
    ({ ip }) => !(wanted.podIPs ?? []).some((other) => other.ip === ip),
  );
  return {
    metadata: { uid: uidOf(pod) },
    status: {
      ...wanted,
      ...Object.fromEntries(gone.map((key) => [key, null])),
      ...(replaceIps && wanted.podIPs !== undefined ? { podIPs: [...wanted.podIPs, { $patch: "replace" }] } : {}),
    },
  };
}

/** Writes Pod statuses to the API server: the newest wanted one of each Pod, one request at a time, again until it worked. */
export class StatusWriter {
  readonly #patch: PatchStatus;
  readonly #tasks: TaskOwner;
  readonly #entries = new Map<string, Entry>();

  constructor(patch: PatchStatus, log: Logger) {
    this.#patch = patch;
    this.#tasks = new TaskOwner("pod statuses", log);
    this.#log = log;
  }
  readonly #log: Logger;

  /** Wants the status to be `status`; nothing is sent when the API server has it already. */
  set(pod: Pod, status: PodStatus): void {
    const uid = uidOf(pod);
    const entry: Entry = this.#entries.get(uid) ?? {
      pod,
      wanted: status,
      written: canonical(owned(pod.status ?? {}, status)),
      busy: false,
      waiters: [],
    };
    this.#entries.set(uid, entry);
    entry.pod = pod;
    entry.wanted = status;
    if (!entry.busy && canonical(status) !== entry.written) {
      entry.busy = true;
      this.#tasks.run("write status", (signal) => this.#write(entry, signal));
    }
  }

  /** Resolves once the last wanted status of the Pod is with the API server, or the Pod is gone. */
  async flush(podUid: string): Promise<void> {
    const entry = this.#entries.get(podUid);
    if (entry?.busy === true) await new Promise<void>((resolve) => entry.waiters.push(resolve));
  }

  /** Forgets a Pod that is gone. */
  forget(podUid: string): void {
    this.#entries.delete(podUid);
  }

  stop(): Promise<void> {
    return this.#tasks.stop();
  }

  async #write(entry: Entry, signal: AbortSignal): Promise<void> {
    const backoff = new Backoff({ initialMs: 100, maxMs: 10_000 });
    try {
      for (;;) {
        const text = canonical(entry.wanted);
        if (text === entry.written || signal.aborted) return;
        try {
          await this.#patch(entry.pod, statusPatch(entry.pod, entry.wanted));
          entry.written = text;
          backoff.reset();
        } catch (error) {
          if (isTripodError(error, "not-found", "conflict")) return; // gone, or another Pod of the same name
          if (isTripodError(error, "invalid")) {
            const pod = `${namespaceOf(entry.pod)}/${nameOf(entry.pod)}`;
            this.#log.error({ pod, error: messageOf(error) }, "the API server refuses the pod's status");
            return;
          }
          await sleep(backoff.next(), undefined, { signal }).catch(() => undefined);
        }
      }
    } finally {
      entry.busy = false;
      for (const waiter of entry.waiters.splice(0)) waiter();
    }
  }
}
