import type { ObjectReference, PersistentVolume, PersistentVolumeClaim, StorageClass } from "@tripod/api/kubernetes";
import { annotations } from "./annotations.ts";

/** The claim has a volume and the binder has finished. */
export const isFullyBound = (claim: PersistentVolumeClaim): boolean =>
  claim.spec.volumeName !== undefined && claim.metadata.annotations?.[annotations.bindCompleted] !== undefined;

/** A claim and a volume are each other's: what stands in a claim alone is its user's wish, and may name the volume of another. */
export const isBoundTo = ({ metadata, status }: PersistentVolumeClaim, { spec }: PersistentVolume): boolean =>
  status?.phase === "Bound" && spec.claimRef?.uid !== undefined && spec.claimRef.uid === metadata.uid;

/** The class's claims are bound only when a Pod that uses them is scheduled. */
export const waitsForConsumer = (storageClass: StorageClass): boolean =>
  storageClass.volumeBindingMode === "WaitForFirstConsumer";

/** Whether a volume's claimRef is this claim, or will be once the binder has filled its uid in. */
export function refersTo(reference: ObjectReference | undefined, claim: PersistentVolumeClaim): boolean {
  if (reference === undefined) return false;
  const { namespace, name, uid } = claim.metadata;
  if (reference.namespace !== namespace || reference.name !== name) return false;
  return reference.uid === undefined || reference.uid === "" || reference.uid === uid;
}

/** The reference that a volume keeps of its claim. */
export const claimReference = (claim: PersistentVolumeClaim): ObjectReference => ({
  apiVersion: "v1",
  kind: "PersistentVolumeClaim",
  ...(claim.metadata.namespace === undefined ? {} : { namespace: claim.metadata.namespace }),
  ...(claim.metadata.name === undefined ? {} : { name: claim.metadata.name }),
  ...(claim.metadata.uid === undefined ? {} : { uid: claim.metadata.uid }),
  ...(claim.metadata.resourceVersion === undefined ? {} : { resourceVersion: claim.metadata.resourceVersion }),
});

/** The volume's claimRef was set by the controller, so the controller may take it back. */
export const isBoundByController = (volume: PersistentVolume): boolean =>
  volume.metadata.annotations?.[annotations.boundByController] !== undefined;
