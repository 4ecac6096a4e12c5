import type {
  GroupsnapshotV1beta1VolumeGroupSnapshotContent as EarlierContent,
  VolumeGroupSnapshotContent,
  VolumeSnapshotInfo,
} from "@tripod/api/kubernetes";
import type { Resource } from "../../registry/resource.ts";
import { volumeGroupSnapshotClasses } from "./volume-group-snapshot-class.ts";
import { volumeGroupSnapshotContents } from "./volume-group-snapshot-content.ts";
import { volumeGroupSnapshots } from "./volume-group-snapshot.ts";

/** On a content as v1beta1 shows it: what that version has no fields for, as upstream keeps it. */
const infoAnnotation = "groupsnapshot.storage.kubernetes.io/volume-snapshot-info-list";

function toEarlier(content: VolumeGroupSnapshotContent): EarlierContent {
  const { metadata, status } = content;
  if (status?.volumeSnapshotInfoList === undefined) return content;
  const { volumeSnapshotInfoList: infos, ...rest } = status;
  const pairs = infos.map(({ volumeHandle = "", snapshotHandle = "" }) => ({ volumeHandle, snapshotHandle }));
  return {
    ...content,
    metadata: { ...metadata, annotations: { ...metadata.annotations, [infoAnnotation]: JSON.stringify(infos) } },
    status: { ...rest, volumeSnapshotHandlePairList: pairs },
  };
}

function fromEarlier(content: EarlierContent): VolumeGroupSnapshotContent {
  const { [infoAnnotation]: kept, ...annotations } = content.metadata.annotations ?? {};
  const isMarked = kept !== undefined;
  const { volumeSnapshotHandlePairList: pairs, ...rest } = content.status ?? {};
  const known = knownInfos(kept);
  const infos = pairs?.map((pair) => known.get(pair.snapshotHandle) ?? pair);
  return {
    ...content,
    metadata: isMarked ? { ...content.metadata, annotations } : content.metadata,
    ...(content.status === undefined
      ? {}
      : { status: { ...rest, ...(infos === undefined ? {} : { volumeSnapshotInfoList: infos }) } }),
  };
}

/** What the annotation tells, by the snapshot's handle; anybody may have written it, so that what is no list of snapshots tells nothing. */
function knownInfos(text: string | undefined): ReadonlyMap<string, VolumeSnapshotInfo> {
  const isNumber = (value: unknown): boolean => value === undefined || Number.isSafeInteger(value);
  let list: unknown;
  try {
    list = JSON.parse(text ?? "[]");
  } catch {
    list = [];
  }
  const infos = Array.isArray(list) ? (list as readonly (Record<string, unknown> | null)[]) : []; // members are looked at next
  const found = infos.flatMap((each): [string, VolumeSnapshotInfo][] => {
    const { volumeHandle, snapshotHandle, creationTime, readyToUse, restoreSize } = each ?? {};
    const isInfo =
      typeof volumeHandle === "string" &&
      typeof snapshotHandle === "string" &&
      isNumber(creationTime) &&
      isNumber(restoreSize) &&
      (readyToUse === undefined || typeof readyToUse === "boolean");
    const info = { volumeHandle, snapshotHandle, creationTime, readyToUse, restoreSize };
    return isInfo ? [[snapshotHandle, info as VolumeSnapshotInfo]] : []; // just seen
  });
  return new Map(found);
}

/** The versions of snapshots of groups before v1, which upstream serves beside it; v1beta2 has the same fields. */
export const earlierGroupVersions: readonly Resource[] = [
  ...[volumeGroupSnapshotClasses, volumeGroupSnapshotContents, volumeGroupSnapshots].map((each) => ({
    ...(each as Resource), // all that is changed is its version
    version: "v1beta2",
  })),
  ...[volumeGroupSnapshotClasses, volumeGroupSnapshots].map((each) => ({ ...(each as Resource), version: "v1beta1" })), // likewise
  {
    ...(volumeGroupSnapshotContents as Resource), // whose methods look at nothing that differs
    version: "v1beta1",
    conversion: {
      fromStored: (object) => toEarlier(object as VolumeGroupSnapshotContent), // its key says so
      toStored: (object) => fromEarlier(object as EarlierContent), // decoded as such
    },
  },
];
