import type { PersistentVolumeClaim, Stored } from "@tripod/api/kubernetes";
import { Backoff } from "@tripod/base";

/** What is remembered of the tries to change claims' volumes; forgotten by a restart, which only means that each is tried at once. */
export class ClaimMemory {
  /** The last try has failed for certain: nobody is at work. */
  hasFailed = false;
  /** The driver has refused because the volume is in use. */
  refusedInUse = false;
  /** The target of which Events have told. */
  told = "";
  /** Between tries that somebody else refuses. */
  readonly backoff = new Backoff({ initialMs: 1000, maxMs: 300_000 });
  #refused = "";
  #retryAtMs = 0;

  /** The driver says that this target can never be. */
  refuse(target: string, retryInMs: number): void {
    this.#refused = target;
    this.#retryAtMs = performance.now() + retryInMs;
  }

  /** Milliseconds until a target is tried again that was refused; 0 for any other. */
  waitMs(target: string): number {
    return this.#refused === target ? Math.max(0, this.#retryAtMs - performance.now()) : 0;
  }
}

/** The memories of a controller's claims. */
export class ClaimMemories {
  readonly #byUid = new Map<string, ClaimMemory>();

  of({ metadata: { uid } }: Stored<PersistentVolumeClaim>): ClaimMemory {
    const known = this.#byUid.get(uid) ?? new ClaimMemory();
    this.#byUid.set(uid, known);
    return known;
  }

  forget({ metadata: { uid } }: Stored<PersistentVolumeClaim>): void {
    this.#byUid.delete(uid);
  }
}
