import type { VolumeGroupSnapshot } from "@tripod/api/kubernetes";
import { defineResource } from "../../registry/resource.ts";
import { ageColumn, nameColumn, textColumn, timeColumn } from "../../table/column.ts";
import { checkClassName, checkKept, checkOneOf, customResource } from "./rules.ts";

const sources = ["selector", "volumeGroupSnapshotContentName"] as const;

export const volumeGroupSnapshots = defineResource<VolumeGroupSnapshot>({
  ...customResource,
  group: "groupsnapshot.storage.k8s.io",
  version: "v1",
  kind: "VolumeGroupSnapshot",
  plural: "volumegroupsnapshots",
  singular: "volumegroupsnapshot",
  shortNames: ["vgs"],
  namespaced: true,
  hasStatus: true,
  columns: [
    nameColumn,
    { name: "ReadyToUse", type: "boolean", cell: ({ status }) => status?.readyToUse },
    textColumn<VolumeGroupSnapshot>("VolumeGroupSnapshotClass", ({ spec }) => spec.volumeGroupSnapshotClassName),
    textColumn<VolumeGroupSnapshot>(
      "VolumeGroupSnapshotContent",
      ({ status }) => status?.boundVolumeGroupSnapshotContentName,
    ),
    timeColumn<VolumeGroupSnapshot>("CreationTime", ({ status }) => status?.creationTime),
    ageColumn,
  ],
  prepareCreate(snapshot) {
    delete snapshot.status;
  },
  validate({ spec }, errors) {
    checkOneOf(spec?.source, "spec.source", sources, errors);
    checkClassName(spec?.volumeGroupSnapshotClassName, "volumeGroupSnapshotClassName", errors);
  },
  validateUpdate({ spec }, old, errors) {
    checkKept([spec?.source, old.spec.source], "spec.source", sources, errors);
  },
  validateStatusUpdate({ status }, old, errors) {
    if (status?.boundVolumeGroupSnapshotContentName !== undefined)
      checkKept([status, old.status], "status", ["boundVolumeGroupSnapshotContentName"], errors);
  },
});
