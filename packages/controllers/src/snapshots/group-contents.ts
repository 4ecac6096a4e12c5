import {
  GroupControllerServiceCapability_RPC_Type as GroupRpc,
  type Snapshot,
  type VolumeGroupSnapshot as TakenGroup,
} from "@tripod/api/csi";
import { formatTime, type Stored, type VolumeGroupSnapshotContent } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import { volumeGroupSnapshotContents, volumeGroupSnapshots } from "@tripod/kube";
import { callOptions } from "../csi/call-options.ts";
import { driverParameters } from "../csi/class-parameters.ts";
import { secretReference } from "../csi/secrets.ts";
import type { ContentKind, NewStatus } from "./content-kind.ts";
import { restoreSizeOf, takenAtNs } from "./csi-snapshots.ts";
import { driverGroupSnapshotName, finalizers, groupAnnotations } from "./snapshot-names.ts";

const handleOf = ({ spec, status }: VolumeGroupSnapshotContent): string | undefined =>
  spec.source.groupSnapshotHandles?.volumeGroupSnapshotHandle ?? status?.volumeGroupSnapshotHandle;

/** The handles of a group's snapshots, which calls about the group must name. */
const memberHandles = ({ spec, status }: VolumeGroupSnapshotContent): string[] =>
  status?.volumeSnapshotInfoList?.flatMap(({ snapshotHandle }) => snapshotHandle ?? []) ??
  spec.source.groupSnapshotHandles?.volumeSnapshotHandles ??
  [];

/** The contents of snapshots of a group. */
export const groupContents: ContentKind<VolumeGroupSnapshotContent> = {
  name: "group-snapshot-contents",
  ref: volumeGroupSnapshotContents,
  owner: volumeGroupSnapshots,
  annotations: groupAnnotations,
  finalizer: finalizers.groupContent,
  reasons: {
    take: "GroupSnapshotCreationFailed",
    look: "GroupSnapshotContentCheckandUpdateFailed",
    remove: "GroupSnapshotDeleteError",
  },
  contents: (world) => world.groupSnapshotContents,
  owners: (world) => world.groupSnapshots,
  classes: (world) => world.groupSnapshotClasses,
  classOf: ({ spec }) => spec.volumeGroupSnapshotClassName,
  referenceOf: ({ spec }) => spec.volumeGroupSnapshotRef,
  canLook: () => true,
  isMade: ({ spec }) => spec.source.volumeHandles !== undefined,
  handleOf,
  isMember: () => false,

  async take(content, { driver, world, signal, secrets }) {
    const { volumeGroupSnapshotClassName: className, volumeGroupSnapshotRef, source } = content.spec;
    const snapshotClass = world.groupSnapshotClasses.get(className ?? "");
    if (snapshotClass === undefined)
      throw new TripodError("failed-precondition", `there is no VolumeGroupSnapshotClass ${className}`);
    if (!driver.groupRpcs.has(GroupRpc.CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT))
      throw new TripodError("unimplemented", `driver ${driver.name} cannot take snapshots of groups`);
    const request = {
      name: driverGroupSnapshotName(volumeGroupSnapshotRef.uid ?? ""),
      sourceVolumeIds: source.volumeHandles ?? [],
      parameters: driverParameters(snapshotClass.parameters),
      secrets: await secrets(),
    };
    return async () => {
      const options = callOptions(signal);
      const { groupSnapshot } = await driver.groupController.createVolumeGroupSnapshot(request, options);
      return statusOf(content, answered(driver.name, groupSnapshot));
    };
  },

  async look(content, { driver, world, signal, secrets }) {
    const parameters = world.groupSnapshotClasses.get(content.spec.volumeGroupSnapshotClassName ?? "")?.parameters;
    const templates = new Map([["volumegroupsnapshotcontent.name", content.metadata.name]]);
    const getSecret = secretReference(parameters ?? {}, "group-snapshotter-get", templates);
    const { groupSnapshot } = await driver.groupController.getVolumeGroupSnapshot(
      {
        groupSnapshotId: handleOf(content) ?? "",
        snapshotIds: memberHandles(content),
        secrets: await secrets(getSecret),
      },
      callOptions(signal),
    );
    return statusOf(content, answered(driver.name, groupSnapshot));
  },

  async remove(content, { driver, signal, secrets }) {
    await driver.groupController.deleteVolumeGroupSnapshot(
      { groupSnapshotId: handleOf(content) ?? "", snapshotIds: memberHandles(content), secrets: await secrets() },
      callOptions(signal),
    );
  },
};

function answered(driver: string, group: TakenGroup | undefined): TakenGroup {
  if (group === undefined || group.groupSnapshotId === "")
    throw new TripodError("corrupt", `driver ${driver} answered without a group snapshot`);
  return group;
}

const statusOf = ({ status }: Stored<VolumeGroupSnapshotContent>, group: TakenGroup): NewStatus => ({
  volumeGroupSnapshotHandle: group.groupSnapshotId,
  readyToUse: group.readyToUse,
  creationTime: status?.creationTime ?? formatTime({ seconds: Math.floor(takenAtNs(group) / 1e9) }),
  volumeSnapshotInfoList: group.snapshots.map((snapshot) => infoOf(snapshot, status)),
});

const infoOf = (snapshot: Snapshot, status: VolumeGroupSnapshotContent["status"]) => ({
  volumeHandle: snapshot.sourceVolumeId,
  snapshotHandle: snapshot.snapshotId,
  creationTime:
    status?.volumeSnapshotInfoList?.find((known) => known.snapshotHandle === snapshot.snapshotId)?.creationTime ??
    takenAtNs(snapshot),
  readyToUse: snapshot.readyToUse,
  ...restoreSizeOf(snapshot),
});
