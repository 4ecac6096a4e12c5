import type { PersistentVolume, PersistentVolumeClaim, Stored } from "@tripod/api/kubernetes";
import { noGrowth, nodeExpansionNotRequired, preResizeCapacity, withConditions } from "@tripod/csi/expansion";
import { versionOf } from "../volumes/patch-claim-status.ts";
import { sizeText } from "../volumes/size-text.ts";

/** On a claim whose volume's kind was built in: the driver that makes it grow. */
const resizer = "volume.kubernetes.io/storage-resizer";

/** Pure: the driver is about to be asked for `sizeBytes`; undefined when the claim says so already. */
export function startedPatch(
  claim: Stored<PersistentVolumeClaim>,
  { sizeBytes, isNew }: { readonly sizeBytes: bigint; readonly isNew: boolean },
  migratedDriver: string | undefined,
): object | undefined {
  const isSaid = claim.status?.conditions?.some(({ type }) => type === "Resizing") === true;
  if (!isNew && isSaid) return undefined;
  const annotations = {
    [nodeExpansionNotRequired]: null,
    ...(migratedDriver === undefined ? {} : { [resizer]: migratedDriver }),
  };
  return {
    metadata: { ...versionOf(claim), annotations },
    status: {
      conditions: withConditions(claim, { ...(isNew ? noGrowth : {}), Resizing: {} }),
      allocatedResources: { storage: sizeText(sizeBytes) },
      ...(isNew ? { allocatedResourceStatuses: { storage: "ControllerResizeInProgress" } } : {}),
    },
  };
}

/** Pure: the driver has refused. */
export const failedPatch = (claim: Stored<PersistentVolumeClaim>, why: string, isInfeasible: boolean): object => ({
  metadata: versionOf(claim),
  status: {
    conditions: withConditions(claim, { ControllerResizeError: { message: `failed to expand pvc with ${why}` } }),
    ...(isInfeasible ? { allocatedResourceStatuses: { storage: "ControllerResizeInfeasible" } } : {}),
  },
});

/** Pure: the volume is as large as this; what its Pods have, is written down until its file system has grown, too. */
export const volumePatch = (
  { metadata, spec }: Stored<PersistentVolume>,
  { sizeBytes, onNodes, actual }: { sizeBytes: bigint; onNodes: boolean; actual: string },
): object => ({
  metadata: {
    uid: metadata.uid,
    ...(onNodes && metadata.annotations?.[preResizeCapacity] === undefined
      ? { annotations: { [preResizeCapacity]: actual } }
      : {}),
  },
  spec: { capacity: { ...spec.capacity, storage: sizeText(sizeBytes) } },
});

/** Pure: the nodes have the rest of the work. */
export const pendingPatch = (claim: Stored<PersistentVolumeClaim>): object => ({
  metadata: { ...versionOf(claim), annotations: { [nodeExpansionNotRequired]: null } },
  status: {
    conditions: withConditions(claim, {
      FileSystemResizePending: {
        message: "Waiting for user to (re-)start a pod to finish file system resize of volume on node.",
      },
    }),
    allocatedResourceStatuses: { storage: "NodeResizePending" },
  },
});

/** Pure: there is nothing left to do. */
export const finishedPatch = (claim: Stored<PersistentVolumeClaim>, sizeBytes: bigint): object => ({
  metadata: { ...versionOf(claim), annotations: { [nodeExpansionNotRequired]: "true" } },
  status: {
    capacity: { storage: sizeText(sizeBytes) },
    conditions: withConditions(claim, noGrowth),
    allocatedResourceStatuses: null,
  },
});
