import type { PersistentVolumeClaim, PersistentVolumeClaimModifyVolumeStatus, Stored } from "@tripod/api/kubernetes";
import { codeOf, messageOf } from "@tripod/base";
import { isFinalFailure, withConditions } from "@tripod/csi/expansion";
import { grpcStatusName } from "@tripod/grpc";
import { versionOf } from "../volumes/patch-claim-status.ts";

const nothing = { ModifyingVolume: null, ModifyVolumeError: null } as const;

/** Pure: the class that is wished for is not there. */
export const waitingPatch = (claim: Stored<PersistentVolumeClaim>): object => ({
  metadata: versionOf(claim),
  status: { modifyVolumeStatus: { status: "Pending" } },
});

/** Pure: the driver is about to be asked. */
export const begunPatch = (claim: Stored<PersistentVolumeClaim>, target: string): object => ({
  metadata: versionOf(claim),
  status: {
    modifyVolumeStatus: { status: "InProgress", targetVolumeAttributesClassName: target },
    conditions: withConditions(claim, {
      ModifyingVolume: { message: `Modifying volume to "${target}" is in progress.` },
    }),
  },
});

/** Pure: the driver has failed; it may be at work all the same. */
export function failedPatch(claim: Stored<PersistentVolumeClaim>, target: string, error: unknown): object {
  const code = codeOf(error);
  const status: PersistentVolumeClaimModifyVolumeStatus = code === "invalid" ? "Infeasible" : "InProgress";
  const end = isFinalFailure(code) ? "failed. Waiting for retry." : "is still in progress.";
  return {
    metadata: versionOf(claim),
    status: {
      modifyVolumeStatus: { status, targetVolumeAttributesClassName: target },
      conditions: withConditions(claim, {
        ModifyingVolume: { message: `Modifying volume to "${target}" ${end}` },
        ModifyVolumeError: { reason: grpcStatusName(error), message: messageOf(error) },
      }),
    },
  };
}

/** Pure: the volume has the attributes. */
export const modifiedPatch = (claim: Stored<PersistentVolumeClaim>, target: string): object => ({
  metadata: versionOf(claim),
  status: {
    currentVolumeAttributesClassName: target,
    modifyVolumeStatus: null,
    conditions: withConditions(claim, nothing),
  },
});

/** Pure: nobody wishes for it any more. */
export const cancelledPatch = (claim: Stored<PersistentVolumeClaim>): object => ({
  metadata: versionOf(claim),
  status: { conditions: withConditions(claim, { ModifyingVolume: null }) },
});
