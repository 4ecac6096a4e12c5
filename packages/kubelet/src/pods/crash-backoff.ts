import type { ContainerActual } from "../cri/pod-actual.ts";

const initialMs = 10_000;
const maxMs = 300_000;
/** A run this long ends the memory of earlier crashes. */
const resetAfterMs = 600_000;

interface Entry {
  readonly delayMs: number;
  /** When the container was last started again. */
  readonly restartedAtMs: number;
}

/**
 * How long each container of one Pod waits after its end: the first restart comes at once, then after 10 s, doubling to 5 minutes; ten
 * minutes of running start afresh.
 */
export class CrashBackoff {
  readonly #entries = new Map<string, Entry>();

  /** The time, in Unix ms, from which an exited container may run again. */
  restartAtMs(exited: ContainerActual): number {
    const entry = this.#entries.get(exited.name);
    if (entry === undefined || this.#isOver(entry, exited.finishedAtMs)) return 0;
    return Math.max(exited.finishedAtMs, entry.restartedAtMs) + entry.delayMs;
  }

  /** Notes that a container is about to run again after `exited`. */
  restarted(exited: ContainerActual, nowMs: number): void {
    const entry = this.#entries.get(exited.name);
    const delayMs =
      entry === undefined || this.#isOver(entry, exited.finishedAtMs) ? initialMs : Math.min(maxMs, entry.delayMs * 2);
    this.#entries.set(exited.name, { delayMs, restartedAtMs: nowMs });
  }

  /** The present delay of a container in milliseconds, for messages. */
  delayMs(name: string): number {
    return this.#entries.get(name)?.delayMs ?? initialMs;
  }

  #isOver(entry: Entry, finishedAtMs: number): boolean {
    return finishedAtMs - entry.restartedAtMs > resetAfterMs;
  }
}
