import type { Pod, PodStatus } from "@tripod/api/kubernetes";
import { Backoff, isTripodError, type Logger, messageOf, TaskOwner } from "@tripod/base";
import { setTimeout as sleep } from "node:timers/promises";
import { nameOf, namespaceOf, uidOf } from "./pod-facts.ts";

/** Sends a patch of a Pod's status; "not-found" when the Pod is gone. */
export type PatchStatus = (pod: Pod, patch: object) => Promise<unknown>;

interface Entry {
  pod: Pod;
  wanted: PodStatus;
  /** What the API server has, as far as is known, and that as text. */
  had: PodStatus;
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

/** Nulls for those fields of `had` that `wants` leaves out: a patch keeps what it does not name. */
const cleared = (had: object, wants: object, keys: readonly string[]): Record<string, null> =>
  Object.fromEntries(keys.filter((key) => key in had && !(key in wants)).map((key) => [key, null]));

/** The strategic merge patch that leads from the status `had` to the one that is wanted. */
export function statusPatch(uid: string, had: PodStatus, wanted: PodStatus): object {
  const conditions = (wanted.conditions ?? []).map((condition) => {
    const before = (had.conditions ?? []).find(({ type }) => type === condition.type) ?? {};
    return { ...condition, ...cleared(before, condition, ["reason", "message"]) };
  });
  const wantedIps = wanted.podIPs ?? [];
  // The list merges by address, so an address that went away has to be said.
  const replaceIps = (had.podIPs ?? []).some(({ ip }) => !wantedIps.some((other) => other.ip === ip));
  return {
    metadata: { uid },
    status: {
      ...wanted,
      conditions,
      ...cleared(had, wanted, ["reason", "message"]),
      ...(replaceIps ? { podIPs: [...wantedIps, { $patch: "replace" }] } : {}),
    },
  };
}

/** Writes Pod statuses to the API server: the newest wanted one of each Pod, one request at a time, again until it worked. */
export class StatusWriter {
  readonly #patch: PatchStatus;
  readonly #tasks: TaskOwner;
  readonly #log: Logger;
  readonly #entries = new Map<string, Entry>();

  constructor(patch: PatchStatus, log: Logger) {
    this.#patch = patch;
    this.#tasks = new TaskOwner("pod statuses", log);
    this.#log = log;
  }

  /** Wants the status to be `status`; nothing is sent when the API server has it already. */
  set(pod: Pod, status: PodStatus): void {
    const uid = uidOf(pod);
    const entry: Entry = this.#entries.get(uid) ?? {
      pod,
      wanted: status,
      had: pod.status ?? {},
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

  /** Resolves once the last wanted status of the Pod is with the API server, or the Pod is gone, or the signal aborts. */
  async flush(podUid: string, signal: AbortSignal): Promise<void> {
    const entry = this.#entries.get(podUid);
    if (entry?.busy !== true || signal.aborted) return;
    await new Promise<void>((resolve) => {
      entry.waiters.push(resolve);
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
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
        const { wanted } = entry;
        const text = canonical(wanted);
        if (text === entry.written || signal.aborted) return;
        try {
          await this.#patch(entry.pod, statusPatch(uidOf(entry.pod), entry.had, wanted));
          entry.had = wanted;
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
