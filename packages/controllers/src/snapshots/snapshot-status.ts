import {
  formatTime,
  type VolumeSnapshot,
  type VolumeSnapshotContent,
  type VolumeSnapshotStatus,
} from "@tripod/api/kubernetes";
import type { NewEvent } from "@tripod/kube";
import { sizeText } from "../volumes/size-text.ts";

/** What of a content's status its snapshot shows; `groupName`: the group that it was taken with. */
export function statusOf(
  snapshot: VolumeSnapshot,
  content: VolumeSnapshotContent,
  groupName: string | undefined,
): VolumeSnapshotStatus {
  const { error: _error, ...old } = snapshot.status ?? {};
  const { creationTime, restoreSize, readyToUse = false, error } = content.status ?? {};
  return {
    ...old,
    boundVolumeSnapshotContentName: old.boundVolumeSnapshotContentName ?? content.metadata.name ?? "",
    readyToUse,
    ...(creationTime === undefined || old.creationTime !== undefined
      ? {}
      : { creationTime: formatTime({ seconds: Math.floor(creationTime / 1e9) }) }),
    ...(restoreSize === undefined || old.restoreSize !== undefined
      ? {}
      : { restoreSize: sizeText(BigInt(restoreSize)) }),
    ...(error === undefined ? {} : { error }),
    ...(groupName === undefined ? {} : { volumeGroupSnapshotName: groupName }),
  };
}

type Told = Pick<NewEvent, "type" | "reason" | "message">;

/** What is told of a status that becomes another; `thing`: "Snapshot" or "GroupSnapshot". */
export function statusEvents(
  thing: "Snapshot" | "GroupSnapshot",
  key: string,
  [before, after]: readonly [
    before: { readonly creationTime?: string; readonly readyToUse?: boolean } | undefined,
    after: { readonly creationTime?: string; readonly readyToUse?: boolean },
  ],
): Told[] {
  const told: Told[] = [];
  if (before?.creationTime === undefined && after.creationTime !== undefined)
    told.push({
      type: "Normal",
      reason: `${thing}Created`,
      message: `${thing} ${key} was successfully created by the CSI driver.`,
    });
  if (before?.readyToUse !== true && after.readyToUse === true)
    told.push({ type: "Normal", reason: `${thing}Ready`, message: `${thing} ${key} is ready to use.` });
  return told;
}
