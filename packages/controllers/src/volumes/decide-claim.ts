import type { PersistentVolume, PersistentVolumeClaim, StorageClass, Stored } from "@tripod/api/kubernetes";
import { migratedTo } from "@tripod/csi/migration";
import { annotations } from "./annotations.ts";
import { hasModeOf, matchVolume, mismatch } from "./match-volume.ts";
import type { VolumePool } from "./volume-pool.ts";
import { isBoundByController, refersTo, waitsForConsumer } from "./volume-state.ts";

/** What is to be done about a claim. */
export type ClaimDecision =
  /** Join it with this volume: whatever of the four writes is still missing. */
  | { readonly kind: "bind"; readonly volume: Stored<PersistentVolume> }
  /** Ask the driver of its class for a volume. */
  | { readonly kind: "provision"; readonly provisioner: string }
  /** It names no class, and there is a default one. */
  | { readonly kind: "set-class"; readonly class: string }
  /** Nothing for now; the event, if any, says why. */
  | { readonly kind: "wait"; readonly reason?: string; readonly message?: string; readonly warning?: boolean }
  /** Its volume is gone or belongs to another. */
  | { readonly kind: "lost"; readonly reason: string; readonly message: string };

export interface ClaimFacts {
  readonly pool: VolumePool;
  volume(name: string): Stored<PersistentVolume> | undefined;
  class(name: string): StorageClass | undefined;
  /** The class that claims without one get. */
  readonly defaultClass: string | undefined;
  /** A Pod that waits to be scheduled and uses the claim. */
  readonly waitingPod: string | undefined;
}

const noProvisioner = "kubernetes.io/no-provisioner";

/** Pure: what a claim needs, given the volumes and classes that there are. */
export function decideClaim(claim: Stored<PersistentVolumeClaim>, facts: ClaimFacts): ClaimDecision {
  return claim.metadata.annotations?.[annotations.bindCompleted] === undefined
    ? decideUnbound(claim, facts)
    : decideBound(claim, facts);
}

function decideBound(claim: Stored<PersistentVolumeClaim>, facts: ClaimFacts): ClaimDecision {
  const { volumeName } = claim.spec;
  if (volumeName === undefined)
    return {
      kind: "lost",
      reason: "ClaimLost",
      message: "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!",
    };
  const volume = facts.volume(volumeName);
  if (volume === undefined)
    return {
      kind: "lost",
      reason: "ClaimLost",
      message: "Bound claim has lost its PersistentVolume. Data on the volume is lost!",
    };
  if (volume.spec.claimRef === undefined || refersTo(volume.spec.claimRef, claim)) return { kind: "bind", volume };
  return {
    kind: "lost",
    reason: "ClaimMisbound",
    message: `Two claims are bound to the same volume, this one is bound incorrectly to ${volumeName}`,
  };
}

function decideUnbound(claim: Stored<PersistentVolumeClaim>, facts: ClaimFacts): ClaimDecision {
  if (claim.metadata.deletionTimestamp !== undefined) return { kind: "wait" };
  const { volumeName, storageClassName } = claim.spec;
  if (volumeName !== undefined) {
    const volume = facts.volume(volumeName);
    if (volume === undefined)
      return { kind: "wait", reason: "FailedBinding", message: `volume "${volumeName}" does not exist yet` };
    if (refersTo(volume.spec.claimRef, claim)) return { kind: "bind", volume };
    if (volume.spec.claimRef !== undefined)
      return {
        kind: "wait",
        reason: "FailedBinding",
        message: `volume "${volumeName}" already bound to a different claim.`,
        warning: true,
      };
    const why = mismatch(claim, volume);
    if (why !== undefined)
      return {
        kind: "wait",
        reason: "VolumeMismatch",
        message: `Cannot bind to requested volume "${volumeName}": ${why}`,
        warning: true,
      };
    return { kind: "bind", volume };
  }
  const storageClass = storageClassName === undefined ? undefined : facts.class(storageClassName);
  const selected = claim.metadata.annotations?.[annotations.selectedNode] !== undefined;
  const delay = storageClass !== undefined && waitsForConsumer(storageClass) && !selected;
  const volume = matchVolume(claim, facts.pool, { reservedOnly: delay || selected });
  if (volume !== undefined) return { kind: "bind", volume };
  if (storageClassName === undefined && facts.defaultClass !== undefined)
    return { kind: "set-class", class: facts.defaultClass };
  if (delay) {
    return facts.waitingPod === undefined
      ? {
          kind: "wait",
          reason: "WaitForFirstConsumer",
          message: "waiting for first consumer to be created before binding",
        }
      : { kind: "wait", reason: "WaitForPodScheduled", message: `waiting for pod ${facts.waitingPod} to be scheduled` };
  }
  if (storageClass !== undefined && storageClass.provisioner !== noProvisioner)
    return { kind: "provision", provisioner: storageClass.provisioner };
  if (storageClassName !== undefined && storageClassName !== "" && storageClass === undefined)
    return {
      kind: "wait",
      reason: "ProvisioningFailed",
      message: `storageclass.storage.k8s.io "${storageClassName}" not found`,
      warning: true,
    };
  return {
    kind: "wait",
    reason: "FailedBinding",
    message: "no persistent volumes available for this claim and no storage class is set",
  };
}

/** What is to be done about a volume. */
export type VolumeDecision =
  | { readonly kind: "phase"; readonly phase: "Available" | "Bound" | "Released" }
  /** Give it back: the controller had bound it to a claim that took another. */
  | { readonly kind: "unbind" }
  /** What should become of it once its claim is gone cannot be done. */
  | { readonly kind: "fail"; readonly reason: string; readonly message: string }
  /** It is reserved for a claim that asks for a device and gets a file system, or the other way round. */
  | { readonly kind: "mismatch" }
  | { readonly kind: "none" };

/** Pure: what a volume needs, given the claim that it refers to (undefined: gone). */
export function decideVolume(
  volume: Stored<PersistentVolume>,
  claim: Stored<PersistentVolumeClaim> | undefined,
): VolumeDecision {
  const phase = volume.status?.phase;
  const to = (wanted: "Available" | "Bound" | "Released"): VolumeDecision =>
    phase === wanted ? { kind: "none" } : { kind: "phase", phase: wanted };
  const reference = volume.spec.claimRef;
  // Whoever takes the reference off a released volume gives it out again.
  if (reference === undefined) return to("Available");
  // Reserved by its author for a claim that may come; the binder fills the uid in.
  if (reference.uid === undefined || reference.uid === "") return to("Available");
  if (claim === undefined || claim.metadata.uid !== reference.uid) {
    if (phase === "Failed") return { kind: "none" };
    return phase === "Released" ? decideReclaim(volume) : to("Released");
  }
  if (claim.spec.volumeName === volume.metadata.name) return to("Bound");
  if (claim.spec.volumeName === undefined) return hasModeOf(claim, volume) ? { kind: "none" } : { kind: "mismatch" };
  // The claim took another volume. One made for it alone has no use any more.
  if (volume.metadata.annotations?.[annotations.provisionedBy] !== undefined) return to("Released");
  return isBoundByController(volume) ? { kind: "unbind" } : to("Available");
}

/** Volumes are deleted by drivers, and emptied for another claim by nobody. */
function decideReclaim({ metadata, spec }: Stored<PersistentVolume>): VolumeDecision {
  const marks = metadata.annotations ?? {};
  const { [annotations.provisionedBy]: maker, [migratedTo]: migrated } = marks;
  if (migrated !== undefined || spec.persistentVolumeReclaimPolicy === "Retain") return { kind: "none" };
  if (spec.persistentVolumeReclaimPolicy === "Recycle")
    return { kind: "fail", reason: "VolumeFailedRecycle", message: "No recycler plugin found for the volume!" };
  if (spec.persistentVolumeReclaimPolicy !== "Delete" || spec.csi !== undefined || maker !== undefined)
    return { kind: "none" };
  const message = `error getting deleter volume plugin for volume "${metadata.name}": no deletable volume plugin matched`;
  return { kind: "fail", reason: "VolumeFailedDelete", message };
}
