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
import { isOutOfService, isReady } from "../node-lifecycle/node-state.ts";
import { claimsOf, isFinished, isMadeFor } from "../volumes/pod-claims.ts";
import { knownCloudVolume, knownCsiVolume } from "../volumes/known-csi-volume.ts";
import { isBoundTo } from "../volumes/volume-state.ts";

/** The name that kubelets look an attachment up by. */
export const attachmentName = (handle: string, driver: string, node: string): string =>
  `csi-${createHash("sha256")
    .update(handle + driver + node)
    .digest("hex")}`;

/** The name of a CSI volume in a Node's status (volumesInUse, volumesAttached). */
export const uniqueVolumeName = (driver: string, handle: string): string => `kubernetes.io/csi/${driver}^${handle}`;

/** A volume that is to be attached to a node: a PersistentVolume of the cluster, or what a Pod's own volume is taken for. */
export interface Wanted {
  readonly name: string;
  readonly volume: PersistentVolume;
  /** Whether the volume stands in a Pod alone, and so has to stand in the attachment. */
  readonly inline: boolean;
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
  /** The driver that serves in place of one of a cloud. */
  serving(driver: string): string;
}

/** Whether a driver's volumes are attached before they are mounted; they are unless its CSIDriver says otherwise. */
const needsAttach = (driver: CSIDriver | undefined): boolean => driver?.spec.attachRequired !== false;

/** Pure: the attachments that Pods need, by name. A Pod needs its volumes from the moment that it has a node until it has ended. */
export function wantedAttachments(facts: AttachmentFacts): Map<string, Wanted> {
  const wanted = new Map<string, Wanted>();
  const want = (volume: PersistentVolume | undefined, inline: boolean, node: string, pod: Stored<Pod>): void => {
    const csi = volume === undefined ? undefined : knownCsiVolume(volume)?.spec.csi;
    if (volume === undefined || csi === undefined || !needsAttach(facts.driver(csi.driver))) return;
    const name = attachmentName(csi.volumeHandle, csi.driver, node);
    const known = wanted.get(name);
    wanted.set(name, { volume, inline, ...known, name, node, pods: [...(known?.pods ?? []), pod] });
  };
  for (const pod of facts.pods) {
    const node = pod.spec.nodeName;
    if (node === undefined || isFinished(pod)) continue;
    const namespace = pod.metadata.namespace ?? "default";
    for (const volume of pod.spec.volumes ?? [])
      want(
        knownCloudVolume(volume, namespace, (driver) => facts.serving(driver)),
        true,
        node,
        pod,
      );
    for (const { key, ephemeral } of claimsOf(pod)) {
      const claim = facts.claim(key);
      if (ephemeral && claim !== undefined && !isMadeFor(claim, pod)) continue;
      const volume = facts.volume(claim?.spec.volumeName ?? "");
      if (claim !== undefined && volume !== undefined && isBoundTo(claim, volume)) want(volume, false, node, pod);
    }
  }
  return wanted;
}

/** The volume of an attachment: a PersistentVolume of the cluster, or the one that stands in the attachment, which has no name. */
export function attachedVolume<T extends PersistentVolume>(
  { spec: { source } }: VolumeAttachment,
  volumeOf: (name: string) => T | undefined,
): T | PersistentVolume | undefined {
  const { persistentVolumeName, inlineVolumeSpec } = source;
  if (inlineVolumeSpec === undefined) return volumeOf(persistentVolumeName ?? "");
  return { metadata: {}, spec: inlineVolumeSpec };
}

/** What nodes call a volume, wherever it stands; undefined for one that is unknown, or none of CSI. */
export function nodesNameOf(volume: PersistentVolume | undefined): string | undefined {
  const csi = volume === undefined ? undefined : knownCsiVolume(volume)?.spec.csi;
  return csi === undefined ? undefined : uniqueVolumeName(csi.driver, csi.volumeHandle);
}

/** "force-delete": its node will never say that it has unmounted the volume. */
export type AttachmentDecision =
  | "create"
  | "delete"
  | "force-delete"
  | "keep"
  | "wait-for-unmount"
  | "wait-for-other-node";

export interface AttachmentState {
  readonly node: Node | undefined;
  readonly volume: PersistentVolume | undefined;
  /** Other attachments of the volume. */
  readonly others: readonly VolumeAttachment[];
  /** Nobody has needed it for longer than a silent node is waited for. */
  readonly isOverdue: boolean;
}

const isShared = ({ spec: { accessModes = [] } }: PersistentVolume): boolean =>
  accessModes.includes("ReadWriteMany") || accessModes.includes("ReadOnlyMany");

/** Whether a kubelet says that it still has a volume mounted. */
export function isMounted(node: Node | undefined, volume: PersistentVolume | undefined): boolean {
  const name = nodesNameOf(volume);
  return name !== undefined && node?.status?.volumesInUse?.includes(name) === true;
}

/** Pure: what is to become of one attachment. */
export function decideAttachment(
  wanted: Wanted | undefined,
  existing: Stored<VolumeAttachment> | undefined,
  { node, volume, others, isOverdue }: AttachmentState,
): AttachmentDecision {
  if (wanted !== undefined) {
    if (existing !== undefined) return "keep";
    const elsewhere = others.some((other) => other.spec.nodeName !== wanted.node);
    return !isShared(wanted.volume) && elsewhere ? "wait-for-other-node" : "create";
  }
  if (existing === undefined || existing.metadata.deletionTimestamp !== undefined) return "keep";
  // A kubelet that still has it mounted says so; a node that is gone has nothing mounted.
  if (node === undefined) return "delete";
  if (isOutOfService(node) || (isOverdue && !isReady(node))) return "force-delete";
  return isMounted(node, volume) ? "wait-for-unmount" : "delete";
}

/** Pure: why a Pod does not get a volume that is attached to other nodes, given the Pods that hold it there. */
export function multiAttachMessage(volume: string, pod: Pod, holders: readonly Pod[]): string {
  const near = holders.filter(({ metadata }) => metadata.namespace === pod.metadata.namespace);
  const far = holders.length - near.length;
  const names = near.map(({ metadata }) => metadata.name).join(", ");
  const elsewhere = `${far} pod(s) in different namespaces`;
  const why =
    holders.length === 0
      ? "Volume is already exclusively attached to one node and can't be attached to another"
      : near.length === 0
        ? `Volume is already used by ${elsewhere}`
        : `Volume is already used by pod(s) ${names}${far === 0 ? "" : ` and ${elsewhere}`}`;
  return `Multi-Attach error for volume "${volume}" ${why}`;
}
