import { keyOf, type PersistentVolume, type PersistentVolumeClaim, type Stored } from "@tripod/api/kubernetes";
import { persistentVolumeClaims, WorkQueue } from "@tripod/kube";
import type { ControllerContext } from "../context.ts";
import type { CsiDriver } from "../csi/csi-drivers.ts";
import { ClaimMemories, type ClaimMemory } from "./claim-memory.ts";

/** What can never be is tried again so often, for the driver may have learnt it, or its storage have been made larger. */
const refusedRetryMs = 300_000;

/** A claim whose volume its driver is to change. */
export interface ClaimTask {
  readonly claim: Stored<PersistentVolumeClaim>;
  readonly volume: Stored<PersistentVolume>;
  readonly driver: CsiDriver;
  readonly memory: ClaimMemory;
}

interface ClaimWorkOptions {
  readonly name: string;
  /** Whether there is anything to be done about a claim and the volume that it names. */
  wants(claim: Stored<PersistentVolumeClaim>, volume: Stored<PersistentVolume>): boolean;
  /** Whether a claim has changed so that what has failed is worth another try. */
  isNews(claim: PersistentVolumeClaim, previous: PersistentVolumeClaim): boolean;
  sync(claim: Stored<PersistentVolumeClaim>, volume: Stored<PersistentVolume>, signal: AbortSignal): Promise<void>;
}

/** Brings claims whose volumes are to be changed to whoever has their drivers do it. */
export class ClaimWork implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #options: ClaimWorkOptions;
  readonly #queue: WorkQueue;
  readonly #memories = new ClaimMemories();
  readonly #stack = new DisposableStack();

  constructor(context: ControllerContext, options: ClaimWorkOptions) {
    this.#context = context;
    this.#options = options;
    const { world, log, csi } = context;
    const timing = { concurrency: 10, firstDelayMs: 500, longestDelayMs: 300_000 };
    this.#queue = new WorkQueue({ name: options.name, log, ...timing }, async (key, signal) => {
      const claim = world.claims.get(key);
      const volume = this.#volumeOf(claim);
      if (claim === undefined || volume === undefined) return;
      try {
        await options.sync(claim, volume, signal);
      } finally {
        // Gone meanwhile: nobody comes to forget it any more.
        if (world.claims.get(key)?.metadata.uid !== claim.metadata.uid) this.#memories.forget(claim);
      }
    });
    this.#stack.defer(
      world.claims.on({
        added: (claim) => this.look(claim),
        updated: (claim, previous) => {
          // Its own writes must not hasten what has failed.
          if (this.#queue.failuresOf(keyOf(claim)) === 0 || options.isNews(claim, previous)) this.look(claim);
        },
        deleted: (claim) => this.#memories.forget(claim),
      }),
    );
    this.#stack.defer(csi.onRegistered(() => this.lookAtAll()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stack.dispose();
    await this.#queue.close();
  }

  #volumeOf(claim: PersistentVolumeClaim | undefined): Stored<PersistentVolume> | undefined {
    return this.#context.world.volumes.get(claim?.spec.volumeName ?? "");
  }

  look(claim: Stored<PersistentVolumeClaim>): void {
    const volume = this.#volumeOf(claim);
    if (volume !== undefined && this.#options.wants(claim, volume)) this.#queue.add(keyOf(claim));
  }

  lookAtAll(): void {
    for (const claim of this.#context.world.claims.list()) this.look(claim);
  }

  memoryOf(claim: Stored<PersistentVolumeClaim>): ClaimMemory {
    return this.#memories.of(claim);
  }

  /** The claim as the API server has it: a cache may not have seen what was written last, by which drivers are asked. */
  async latest(
    { metadata }: Stored<PersistentVolumeClaim>,
    signal: AbortSignal,
  ): Promise<Stored<PersistentVolumeClaim> | undefined> {
    const { namespace = "default", name, uid } = metadata;
    const claim = await this.#context.client.resource(persistentVolumeClaims).find(name, { namespace, signal });
    return claim?.metadata.uid === uid ? claim : undefined;
  }

  /** Whether `target` was refused of late; the claim comes back when that is long enough ago. */
  isRefused({ claim, memory }: Pick<ClaimTask, "claim" | "memory">, target: string): boolean {
    const waitMs = memory.waitMs(target);
    if (waitMs > 0) this.#queue.addAfter(keyOf(claim), waitMs);
    return waitMs > 0;
  }

  /** The driver says that `target` can never be. */
  refuse({ claim, memory }: ClaimTask, target: string): void {
    memory.refuse(target, refusedRetryMs);
    this.#queue.addAfter(keyOf(claim), refusedRetryMs);
  }

  tell({ claim, driver }: ClaimTask, type: "Normal" | "Warning", reason: string, message: string): void {
    this.#context.recorder(`external-resizer ${driver.name}`).record({ about: claim, type, reason, message });
  }
}
