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
import { persistentVolumes } from "@tripod/kube";
import { withSpan } from "@tripod/trace";
import type { ControllerContext } from "../context.ts";
import { readSecretsAgain } from "../csi/secrets.ts";
import { claimKeysOf, isFinished } from "../volumes/pod-claims.ts";
import { type ClaimTask, ClaimWork } from "../volumes/claim-work.ts";
import { patchClaimStatus } from "../volumes/patch-claim-status.ts";
import { decideExpansion, wantsGrowth } from "./decide-expansion.ts";
import { expandVolume, type Grown } from "./expand-volume.ts";
import { failedPatch, finishedPatch, pendingPatch, startedPatch, volumePatch } from "./expansion-patches.ts";

/** Makes the volumes of claims grow that ask for more, as far as that is their driver's controller's work; nodes do the rest. */
export class Resizer implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #work: ClaimWork;
  readonly #stack = new AsyncDisposableStack();

  constructor(context: ControllerContext) {
    this.#context = context;
    const { world } = context;
    this.#work = this.#stack.use(
      new ClaimWork(context, {
        name: "resizer",
        wants: (claim, volume) =>
          wantsGrowth(claim, volume) || preResizeCapacity in (volume.metadata.annotations ?? {}),
        isNews,
        sync: (claim, volume, signal) => this.#sync(claim, volume, signal),
      }),
    );
    // Out of use, volumes grow that do not in use.
    const freed = (...keys: string[]): void => {
      for (const claim of keys.map((key) => world.claims.get(key))) if (claim !== undefined) this.#work.look(claim);
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

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }

  async #sync(
    seen: Stored<PersistentVolumeClaim>,
    volume: Stored<PersistentVolume>,
    signal: AbortSignal,
  ): Promise<void> {
    const { csi, client } = this.#context;
    if (!wantsGrowth(seen, volume)) return this.#settle(seen, volume);
    const memory = this.#work.memoryOf(seen);
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
    const claim = await this.#work.latest(seen, signal);
    const latest = await client.resource(persistentVolumes).find(volume.metadata.name, { signal });
    if (claim === undefined || latest === undefined || !wantsGrowth(claim, latest)) return;
    const byController = driver.rpcs.has(Rpc.EXPAND_VOLUME);
    const decision = decideExpansion(claim, latest, { hasFailed: memory.hasFailed, byController });
    if (decision.kind === "none") return;
    if (this.#work.isRefused({ claim, memory }, targetOf(claim, decision.sizeBytes))) return;
    const { namespace, name } = claim.metadata;
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
    growth: ClaimTask,
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
      this.#work.tell(started, "Warning", "VolumeResizeFailed", message);
      return; // whoever lets go of it brings us back
    }
    this.#work.tell(started, "Normal", "Resizing", `External resizer is resizing volume ${volume.metadata.name}`);
    let grown = await this.#ask(started, target.sizeBytes, signal);
    if (grown === undefined) return;
    failpoint("controllers.resizer.expanded");
    const { actual = "0" } = claimGrowth(claim);
    await client.resource(persistentVolumes).patch(volume.metadata.name, volumePatch(volume, { ...grown, actual }));
    failpoint("controllers.resizer.volume-saved");
    // Whoever has used it for the first time meanwhile may have read the old size.
    if (grown.isUnmade === true) grown = await this.#ask(started, target.sizeBytes, signal);
    if (grown === undefined) return;
    const end = grown.onNodes ? pendingPatch(claim) : finishedPatch(claim, grown.sizeBytes);
    await patchClaimStatus(client, claim, end);
    failpoint("controllers.resizer.claim-saved");
    memory.hasFailed = false;
    // What a node has refused it may well refuse again.
    if (claimGrowth(claim).state === "NodeResizeInfeasible")
      memory.refuse(targetOf(claim, target.sizeBytes), memory.backoff.next());
    if (grown.onNodes)
      this.#work.tell(started, "Normal", "FileSystemResizeRequired", "Require file system resize of volume on node");
    else this.#work.tell(started, "Normal", "VolumeResizeSuccessful", "Resize volume succeeded");
  }

  /** Whether the volume is in use and its driver makes none grow that are. */
  #mustWait({ claim, volume, driver, memory }: ClaimTask): boolean {
    const { world } = this.#context;
    if (driver.growsInUse && !memory.refusedInUse) return false;
    return (
      world.pods.byIndex("claim", keyOf(claim)).some((pod) => !isFinished(pod)) ||
      world.attachments.list().some(({ spec }) => spec.source.persistentVolumeName === volume.metadata.name)
    );
  }

  /** Asks the driver; undefined when it says that this can never be, which the claim then says, too. */
  async #ask(growth: ClaimTask, sizeBytes: bigint, signal: AbortSignal): Promise<Grown | undefined> {
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
      const own = inTreeDriverOf(volume);
      const standsIn = own !== undefined && own !== driver.name;
      if (standsIn && code === "not-found") return { sizeBytes, onNodes: false, isUnmade: true };
      memory.refusedInUse = code === "failed-precondition";
      memory.hasFailed = isFinalFailure(code);
      const message = `resize volume "${volume.metadata.name}" by resizer "${driver.name}" failed: ${messageOf(error)}`;
      this.#work.tell(growth, "Warning", "VolumeResizeFailed", message);
      if (memory.hasFailed) {
        await patchClaimStatus(client, claim, failedPatch(claim, messageOf(error), isInfeasible(code)));
        failpoint("controllers.resizer.failure-saved");
      }
      if (!isInfeasible(code)) throw error;
      this.#work.refuse(growth, targetOf(claim, sizeBytes));
      return undefined;
    }
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
