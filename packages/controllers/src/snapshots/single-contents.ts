import type { Snapshot } from "@tripod/api/csi";
import type { Stored, VolumeSnapshotContent } from "@tripod/api/kubernetes";
import { TripodError } from "@tripod/base";
import { volumeSnapshotContents, volumeSnapshots } from "@tripod/kube";
import { callOptions } from "../csi/call-options.ts";
import { driverParameters } from "../csi/class-parameters.ts";
import { secretReference } from "../csi/secrets.ts";
import type { ContentKind, NewStatus } from "./content-kind.ts";
import { restoreSizeOf, snapshotReader, takenAtNs, takeSnapshot } from "./csi-snapshots.ts";
import { driverSnapshotName, finalizers, groupHandleAnnotation, snapshotAnnotations } from "./snapshot-names.ts";

const handleOf = ({ spec, status }: VolumeSnapshotContent): string | undefined =>
  spec.source.snapshotHandle ?? status?.snapshotHandle;

/** The contents of single snapshots. */
export const singleContents: ContentKind<VolumeSnapshotContent> = {
  name: "snapshot-contents",
  ref: volumeSnapshotContents,
  owner: volumeSnapshots,
  annotations: snapshotAnnotations,
  finalizer: finalizers.content,
  reasons: {
    take: "SnapshotCreationFailed",
    look: "SnapshotContentCheckandUpdateFailed",
    remove: "SnapshotDeleteError",
  },
  contents: (world) => world.snapshotContents,
  owners: (world) => world.snapshots,
  classes: (world) => world.snapshotClasses,
  classOf: ({ spec }) => spec.volumeSnapshotClassName,
  referenceOf: ({ spec }) => spec.volumeSnapshotRef,
  canLook: (driver) => snapshotReader(driver) !== undefined,
  isMade: ({ spec }) => spec.source.volumeHandle !== undefined,
  handleOf,
  isMember: ({ metadata, status }) =>
    metadata?.annotations?.[groupHandleAnnotation] !== undefined || status?.volumeGroupSnapshotHandle !== undefined,

  async take(content, { driver, world, signal, secrets }) {
    const { volumeSnapshotClassName: className, volumeSnapshotRef, source } = content.spec;
    const snapshotClass = world.snapshotClasses.get(className ?? "");
    if (snapshotClass === undefined)
      throw new TripodError("failed-precondition", `there is no VolumeSnapshotClass ${className}`);
    const request = {
      name: driverSnapshotName(volumeSnapshotRef.uid ?? ""),
      sourceVolumeId: source.volumeHandle ?? "",
      parameters: driverParameters(snapshotClass.parameters),
      secrets: await secrets(),
    };
    return async () => statusOf(content, await takeSnapshot(driver, request, signal));
  },

  async look(content, { driver, world, signal, secrets }) {
    const handle = handleOf(content) ?? "";
    const read = snapshotReader(driver);
    // What was given by hand is taken to be ready where nobody can be asked.
    if (read === undefined)
      return {
        snapshotHandle: handle,
        readyToUse: true,
        creationTime: content.status?.creationTime ?? takenAtNs({}),
      };
    const parameters = world.snapshotClasses.get(content.spec.volumeSnapshotClassName ?? "")?.parameters;
    const templates = new Map([["volumesnapshotcontent.name", content.metadata.name]]);
    const listSecret = secretReference(parameters ?? {}, "snapshotter-list", templates);
    return statusOf(content, await read(handle, await secrets(listSecret), signal));
  },

  async remove(content, { driver, signal, secrets }) {
    const request = { snapshotId: handleOf(content) ?? "", secrets: await secrets() };
    await driver.controller.deleteSnapshot(request, callOptions(signal));
  },
};

const statusOf = ({ status }: Stored<VolumeSnapshotContent>, found: Snapshot): NewStatus => ({
  snapshotHandle: found.snapshotId,
  readyToUse: found.readyToUse,
  creationTime: status?.creationTime ?? takenAtNs(found),
  ...(status?.restoreSize === undefined ? restoreSizeOf(found) : { restoreSize: status.restoreSize }),
  ...(found.groupSnapshotId === "" ? {} : { volumeGroupSnapshotHandle: found.groupSnapshotId }),
});
