import { ControllerServiceCapability_RPC_Type as Rpc } from "@tripod/api/csi";
import {
  compareQuantities,
  keyOf,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Stored,
} from "@tripod/api/kubernetes";
import { codeOf, failpoint, messageOf, TripodError } from "@tripod/base";
import { claimGrowth, isFinalFailure, isInfeasible, preResizeCapacity } from "@tripod/csi/expansion";
import { asCsiVolume, inTreeDriverOf } from "@tripod/csi/migration";
import { persistentVolumeClaims, persistentVolumes, WorkQueue } from "@tripod/kube";
import { withSpan } from "@tripod/trace";
import type { ControllerContext } from "../context.ts";
import type { CsiDriver } from "../csi/csi-drivers.ts";
import { readSecretsAgain } from "../csi/secrets.ts";
import { claimKeysOf, isFinished } from "../volumes/pod-claims.ts";
import { ClaimMemories, type ClaimMemory } from "../volumes/claim-memory.ts";
import { patchClaimStatus } from "../volumes/patch-claim-status.ts";
import { decideExpansion, wantsGrowth } from "./decide-expansion.ts";
import { expandVolume, type Grown } from "./expand-volume.ts";
import { failedPatch, finishedPatch, pendingPatch, startedPatch, volumePatch } from "./expansion-patches.ts";

/** What can never be is tried again so often, for the storage may have been made larger. */
const refusedRetryMs = 300_000;

interface Growth {
  readonly claim: Stored<PersistentVolumeClaim>;
  readonly volume: Stored<PersistentVolume>;
  readonly driver: CsiDriver;
  readonly memory: ClaimMemory;
}

/** Makes the volumes of claims grow that ask for more, as far as that is their driver's controller's work; nodes do the rest. */
export class Resizer implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #queue: WorkQueue;
  readonly #stack = new DisposableStack();
  readonly #memories = new ClaimMemories();

  constructor(context: ControllerContext) {
    this.#context = context;
    const { world, log, csi } = context;
    const options = { name: "resizer", log, concurrency: 10, firstDelayMs: 500, longestDelayMs: 300_000 };
    this.#queue = new WorkQueue(options, (key, signal) => this.#sync(key, signal));
    this.#stack.defer(
      world.claims.on({
        added: (claim) => this.#look(claim),
        updated: (claim, previous) => {
          // Its own writes must not hasten what has failed.
          if (this.#queue.failuresOf(keyOf(claim)) === 0 || isNews(claim, previous)) this.#look(claim);
        },
        deleted: (claim) => this.#memories.forget(claim),
      }),
    );
    const lookAtAll = (): void => {
      for (const claim of world.claims.list()) this.#look(claim);
    };
    this.#stack.defer(csi.onRegistered(lookAtAll));
    // Out of use, volumes grow that do not in use.
    const freed = (...keys: string[]): void => {
      for (const claim of keys.map((key) => world.claims.get(key))) if (claim !== undefined) this.#look(claim);
    };
    this.#stack.defer(
      world.pods.on({
        updated: (pod, before) => (isFinished(pod) && !isFinished(before) ? freed(...claimKeysOf(pod)) : undefined),
        deleted: (pod) => freed(...claimKeysOf(pod)),
      }),
    );
    this.#stack.defer(
      world.attachments.on({
        deleted: ({ spec }) => {
          const reference = world.volumes.get(spec.source.persistentVolumeName ?? "")?.spec.claimRef;
          freed(`${reference?.namespace}/${reference?.name}`);
        },
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stack.dispose();
    await this.#queue.close();
  }

  #volumeOf({ spec }: PersistentVolumeClaim): Stored<PersistentVolume> | undefined {
    return spec.volumeName === undefined ? undefined : this.#context.world.volumes.get(spec.volumeName);
  }

  #look(claim: Stored<PersistentVolumeClaim>): void {
    const volume = this.#volumeOf(claim);
    if (
      volume !== undefined &&
      (wantsGrowth(claim, volume) || preResizeCapacity in (volume.metadata.annotations ?? {}))
    )
      this.#queue.add(keyOf(claim));
  }

  async #sync(key: string, signal: AbortSignal): Promise<void> {
    const { world, csi, client } = this.#context;
    const seen = world.claims.get(key);
    const volume = seen === undefined ? undefined : this.#volumeOf(seen);
    if (seen === undefined || volume === undefined) return;
    if (!wantsGrowth(seen, volume)) return this.#settle(seen, volume);
    const memory = this.#memories.of(seen);
    const driver = csi.get(asCsiVolume(volume)?.spec.csi.driver ?? "");
    const { requested } = claimGrowth(seen);
    if (memory.told !== requested) {
      memory.told = requested;
      const own = inTreeDriverOf(volume);
      const message =
        own === undefined
          ? "waiting for an external controller to expand this PVC"
          : `CSI migration enabled for ${own}; waiting for external resizer to expand the pvc`;
      this.#context
        .recorder("volume_expand")
        .record({ about: seen, type: "Normal", reason: "ExternalExpanding", message });
    }
    if (driver === undefined) return;
    // Drivers are not asked for what a cache remembers: it may not have seen what was written last.
    const { namespace = "default", name, uid } = seen.metadata;
    const claim = await client.resource(persistentVolumeClaims).find(name, { namespace, signal });
    const latest = await client.resource(persistentVolumes).find(volume.metadata.name, { signal });
    if (claim?.metadata.uid !== uid || latest === undefined || !wantsGrowth(claim, latest)) return;
    const byController = driver.rpcs.has(Rpc.EXPAND_VOLUME);
    const decision = decideExpansion(claim, latest, { hasFailed: memory.hasFailed, byController });
    if (decision.kind === "none") return;
    const waitMs = memory.waitMs(targetOf(claim, decision.sizeBytes));
    if (waitMs > 0) return this.#queue.addAfter(key, waitMs);
    const attributes = { "claim.namespace": namespace, "claim.name": name, "csi.driver": driver.name };
    await withSpan("resizer.expand", attributes, () =>
      this.#expand({ claim, volume: latest, driver, memory }, decision, signal),
    );
  }

  /** Takes back what was written down of a volume whose Pods have all of it. */
  async #settle(claim: Stored<PersistentVolumeClaim>, volume: Stored<PersistentVolume>): Promise<void> {
    const { metadata, spec } = volume;
    const isWhole = compareQuantities(claimGrowth(claim).actual ?? "0", spec.capacity?.storage ?? "0") >= 0;
    if (!isWhole || !(preResizeCapacity in (metadata.annotations ?? {}))) return;
    const patch = { metadata: { uid: metadata.uid, annotations: { [preResizeCapacity]: null } } };
    await this.#context.client.resource(persistentVolumes).patch(metadata.name, patch);
  }

  async #expand(
    growth: Growth,
    target: { readonly sizeBytes: bigint; readonly isNew: boolean },
    signal: AbortSignal,
  ): Promise<void> {
    const { volume, driver, memory } = growth;
    const { client } = this.#context;
    const patch = startedPatch(growth.claim, target, inTreeDriverOf(volume) === undefined ? undefined : driver.name);
    const claim = patch === undefined ? growth.claim : await patchClaimStatus(client, growth.claim, patch);
    failpoint("controllers.resizer.started");
    const started = { ...growth, claim };
    if (this.#mustWait(started)) {
      const message = `Unable to expand ${keyOf(claim)} because CSI driver ${driver.name} only supports offline expansion and volume is currently in-use`;
      this.#tell(started, "Warning", "VolumeResizeFailed", message);
      return; // whoever lets go of it brings us back
    }
    this.#tell(started, "Normal", "Resizing", `External resizer is resizing volume ${volume.metadata.name}`);
    const grown = await this.#ask(started, target.sizeBytes, signal);
    if (grown === undefined) return;
    failpoint("controllers.resizer.expanded");
    const { actual = "0" } = claimGrowth(claim);
    await client.resource(persistentVolumes).patch(volume.metadata.name, volumePatch(volume, { ...grown, actual }));
    failpoint("controllers.resizer.volume-saved");
    const end = grown.onNodes ? pendingPatch(claim) : finishedPatch(claim, grown.sizeBytes);
    await patchClaimStatus(client, claim, end);
    failpoint("controllers.resizer.claim-saved");
    memory.hasFailed = false;
    // What a node has refused it may well refuse again.
    if (claimGrowth(claim).state === "NodeResizeInfeasible")
      memory.refuse(targetOf(claim, target.sizeBytes), memory.backoff.next());
    if (grown.onNodes)
      this.#tell(started, "Normal", "FileSystemResizeRequired", "Require file system resize of volume on node");
    else this.#tell(started, "Normal", "VolumeResizeSuccessful", "Resize volume succeeded");
  }

  /** Whether the volume is in use and its driver makes none grow that are. */
  #mustWait({ claim, volume, driver, memory }: Growth): boolean {
    const { world } = this.#context;
    if (driver.growsInUse && !memory.refusedInUse) return false;
    return (
      world.pods.byIndex("claim", keyOf(claim)).some((pod) => !isFinished(pod)) ||
      world.attachments.list().some(({ spec }) => spec.source.persistentVolumeName === volume.metadata.name)
    );
  }

  /** Asks the driver; undefined when it says that this can never be, which the claim then says, too. */
  async #ask(growth: Growth, sizeBytes: bigint, signal: AbortSignal): Promise<Grown | undefined> {
    const { claim, volume, driver, memory } = growth;
    const { client } = this.#context;
    const csi = asCsiVolume(volume);
    if (csi === undefined) throw new TripodError("invalid", `volume ${volume.metadata.name} is no CSI volume`);
    memory.refusedInUse = false;
    try {
      const secrets = await readSecretsAgain(client, csi.spec.csi.controllerExpandSecretRef, signal);
      return await expandVolume(driver, csi, { sizeBytes, secrets, signal });
    } catch (error) {
      if (signal.aborted) throw error;
      const code = codeOf(error);
      memory.refusedInUse = code === "failed-precondition";
      memory.hasFailed = isFinalFailure(code);
      const message = `resize volume "${volume.metadata.name}" by resizer "${driver.name}" failed: ${messageOf(error)}`;
      this.#tell(growth, "Warning", "VolumeResizeFailed", message);
      if (memory.hasFailed) {
        await patchClaimStatus(client, claim, failedPatch(claim, messageOf(error), isInfeasible(code)));
        failpoint("controllers.resizer.failure-saved");
      }
      if (!isInfeasible(code)) throw error;
      memory.refuse(targetOf(claim, sizeBytes), refusedRetryMs);
      this.#queue.addAfter(keyOf(claim), refusedRetryMs);
      return undefined;
    }
  }

  #tell({ claim, driver }: Growth, type: "Normal" | "Warning", reason: string, message: string): void {
    this.#context.recorder(`external-resizer ${driver.name}`).record({ about: claim, type, reason, message });
  }
}

/** What is being tried: a size, here or once more on a node. */
const targetOf = (claim: PersistentVolumeClaim, sizeBytes: bigint): string =>
  `${claimGrowth(claim).state === "NodeResizeInfeasible" ? "node" : "controller"} ${sizeBytes}`;

/** Whether a claim's user or its node has done something. */
function isNews(claim: PersistentVolumeClaim, previous: PersistentVolumeClaim): boolean {
  const [now, before] = [claimGrowth(claim), claimGrowth(previous)];
  return (
    now.requested !== before.requested ||
    now.actual !== before.actual ||
    (now.state !== before.state && now.state?.startsWith("Node") === true)
  );
}
