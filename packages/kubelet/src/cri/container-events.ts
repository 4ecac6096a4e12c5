import { setTimeout as sleep } from "node:timers/promises";
import { Backoff, isTripodError, type Logger, messageOf } from "@tripod/base";
import type { CriClient } from "./cri-client.ts";
import { podUidLabel } from "./pod-labels.ts";

/** How often a runtime without events is asked what it has, as upstream does. */
const relistMs = 1000;
/** With events, a list this often finds what an event should have told. */
const slowRelistMs = 60_000;

export interface ContainerEventsOptions {
  readonly cri: CriClient;
  readonly log: Logger;
  /** Something about the Pod with this uid has changed. */
  readonly onPod: (uid: string) => void;
  /** The runtime went away or came back. */
  readonly onConnection: () => void;
  readonly signal: AbortSignal;
}

/** What each Pod's containers and sandboxes look like, as text to compare. */
async function snapshot(cri: CriClient): Promise<Map<string, string>> {
  const [sandboxes, containers] = await Promise.all([cri.runtime.listPodSandbox({}), cri.runtime.listContainers({})]);
  const found = new Map<string, string[]>();
  for (const { id, state, labels } of [...sandboxes.items, ...containers.containers]) {
    const uid = labels[podUidLabel];
    if (uid !== undefined) found.set(uid, [...(found.get(uid) ?? []), `${id}=${state}`]);
  }
  return new Map([...found].map(([uid, states]) => [uid, states.toSorted().join(",")]));
}

/** Compares lists for ever and tells of the Pods that changed in between. */
async function relist(options: ContainerEventsOptions, everyMs: number): Promise<void> {
  const { cri, onPod, onConnection, signal } = options;
  let before: Map<string, string> | undefined;
  while (!signal.aborted) {
    const now = await snapshot(cri);
    // The runtime answers (again): whatever happened while it did not, every Pod is looked at.
    if (before === undefined) onConnection();
    for (const uid of new Set([...now.keys(), ...(before?.keys() ?? [])])) {
      if (before !== undefined && now.get(uid) !== before.get(uid)) onPod(uid);
    }
    before = now;
    await sleep(everyMs, undefined, { signal });
  }
}

async function stream({ cri, onPod, onConnection, signal }: ContainerEventsOptions): Promise<void> {
  const events = cri.runtime.getContainerEvents({}, { signal });
  for await (const { podSandboxStatus } of events) {
    const uid = podSandboxStatus?.metadata?.uid;
    if (uid !== undefined && uid !== "") onPod(uid);
  }
  onConnection();
}

/**
 * Tells which Pods have changed in the runtime, until the signal aborts: by its event stream, beside which a slow list finds what was missed,
 * or by a list every second from a runtime that has no events.
 */
export async function followContainers(options: ContainerEventsOptions): Promise<void> {
  const { log, onConnection, signal } = options;
  const backoff = new Backoff({ initialMs: 100, maxMs: 1000 });
  let everyMs = slowRelistMs;
  while (!signal.aborted) {
    const round = new AbortController();
    const either = { ...options, signal: AbortSignal.any([signal, round.signal]) };
    const startedMs = performance.now();
    try {
      const work = [relist(either, everyMs)];
      if (everyMs === slowRelistMs) work.push(stream(either));
      await Promise.race(work.map((each) => each.then(() => undefined)));
    } catch (error) {
      if (signal.aborted) return;
      if (isTripodError(error, "unimplemented")) {
        log.info({}, "the runtime has no container events; it is listed every second");
        everyMs = relistMs;
        continue;
      }
      log.warn({ error: messageOf(error) }, "lost the container runtime, trying again");
      onConnection();
    } finally {
      round.abort();
    }
    if (performance.now() - startedMs > 10_000) backoff.reset();
    await sleep(backoff.next(), undefined, { signal }).catch(() => undefined);
  }
}
