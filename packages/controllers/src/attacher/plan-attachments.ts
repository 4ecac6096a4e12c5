import { createHash } from "node:crypto";
import type {
  CSIDriver,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  Stored,
  VolumeAttachment,
} from "@tripod/api/kubernetes";
import { asCsiVolume } from "@tripod/csi/migration";
import { claimsOf, isFinished, isMadeFor } from "../volumes/pod-claims.ts";

/** The name that kubelets look an attachment up by. */
export const attachmentName = (handle: string, driver: string, node: string): string =>
  `csi-${createHash("sha256")
    .update(handle + driver + node)
    .digest("hex")}`;

/** The name of a CSI volume in a Node's status (volumesInUse, volumesAttached). */
export const uniqueVolumeName = (driver: string, handle: string): string => `kubernetes.io/csi/${driver}^${handle}`;

/** A volume that is to be attached to a node. */
export interface Wanted {
  readonly name: string;
  readonly volume: Stored<PersistentVolume>;
  readonly node: string;
  /** Whom to tell of trouble. */
  readonly pods: readonly Stored<Pod>[];
}

export interface AttachmentFacts {
  readonly pods: readonly Stored<Pod>[];
  claim(key: string): PersistentVolumeClaim | undefined;
  volume(name: string): Stored<PersistentVolume> | undefined;
  driver(name: string): CSIDriver | undefined;
  node(name: string): Node | undefined;
}

/** Whether a driver's volumes are attached before they are mounted; they are unless its CSIDriver says otherwise. */
const needsAttach = (driver: CSIDriver | undefined): boolean => driver?.spec.attachRequired !== false;

/** Pure: the attachments that Pods need, by name. A Pod needs its volumes from the moment that it has a node until it has ended. */
export function wantedAttachments(facts: AttachmentFacts): Map<string, Wanted> {
  const wanted = new Map<string, Wanted>();
  for (const pod of facts.pods) {
    const node = pod.spec.nodeName;
    if (node === undefined || isFinished(pod)) continue;
    for (const { key, ephemeral } of claimsOf(pod)) {
      const claim = facts.claim(key);
      if (ephemeral && claim !== undefined && !isMadeFor(claim, pod)) continue;
      const volume = claim?.spec.volumeName === undefined ? undefined : facts.volume(claim.spec.volumeName);
      const csi = volume === undefined ? undefined : asCsiVolume(volume)?.spec.csi;
      if (volume === undefined || csi === undefined || !needsAttach(facts.driver(csi.driver))) continue;
      const name = attachmentName(csi.volumeHandle, csi.driver, node);
      const known = wanted.get(name);
      wanted.set(name, { name, volume, node, pods: [...(known?.pods ?? []), pod] });
    }
  }
  return wanted;
}

export type AttachmentDecision = "create" | "delete" | "keep" | "wait-for-unmount" | "wait-for-other-node";

/** Pure: what is to become of one attachment. */
export function decideAttachment(
  wanted: Wanted | undefined,
  existing: Stored<VolumeAttachment> | undefined,
  facts: {
    readonly node: Node | undefined;
    readonly volume: PersistentVolume | undefined;
    readonly others: readonly VolumeAttachment[];
  },
): AttachmentDecision {
  if (wanted !== undefined) {
    if (existing !== undefined) return "keep";
    const modes = wanted.volume.spec.accessModes ?? [];
    const isShared = modes.includes("ReadWriteMany") || modes.includes("ReadOnlyMany");
    const elsewhere = facts.others.some((other) => other.spec.nodeName !== wanted.node);
    return !isShared && elsewhere ? "wait-for-other-node" : "create";
  }
  if (existing === undefined || existing.metadata.deletionTimestamp !== undefined) return "keep";
  const csi = facts.volume === undefined ? undefined : asCsiVolume(facts.volume)?.spec.csi;
  // A kubelet that still has it mounted says so; a node that is gone has nothing mounted.
  const inUse =
    csi !== undefined &&
    facts.node?.status?.volumesInUse?.includes(uniqueVolumeName(csi.driver, csi.volumeHandle)) === true;
  return inUse ? "wait-for-unmount" : "delete";
}
