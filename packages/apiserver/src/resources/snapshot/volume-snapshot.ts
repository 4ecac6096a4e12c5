import type { VolumeSnapshot } from "@tripod/api/kubernetes";
import { defineResource } from "../../registry/resource.ts";
import { ageColumn, nameColumn, textColumn, timeColumn } from "../../table/column.ts";
import { checkClassName, checkKept, checkOneOf, customResource } from "./rules.ts";

const sources = ["volumeSnapshotContentName", "persistentVolumeClaimName"] as const;

export const volumeSnapshots = defineResource<VolumeSnapshot>({
  ...customResource,
  group: "snapshot.storage.k8s.io",
  version: "v1",
  kind: "VolumeSnapshot",
  plural: "volumesnapshots",
  singular: "volumesnapshot",
  shortNames: ["vs"],
  namespaced: true,
  hasStatus: true,
  columns: [
    nameColumn,
    { name: "ReadyToUse", type: "boolean", cell: ({ status }) => status?.readyToUse },
    textColumn<VolumeSnapshot>("SourcePVC", ({ spec }) => spec.source.persistentVolumeClaimName),
    textColumn<VolumeSnapshot>("SourceSnapshotContent", ({ spec }) => spec.source.volumeSnapshotContentName),
    textColumn<VolumeSnapshot>("RestoreSize", ({ status }) => status?.restoreSize),
    textColumn<VolumeSnapshot>("SnapshotClass", ({ spec }) => spec.volumeSnapshotClassName),
    textColumn<VolumeSnapshot>("SnapshotContent", ({ status }) => status?.boundVolumeSnapshotContentName),
    timeColumn<VolumeSnapshot>("CreationTime", ({ status }) => status?.creationTime),
    ageColumn,
  ],
  prepareCreate(snapshot) {
    delete snapshot.status;
  },
  validate({ spec }, errors) {
    checkOneOf(spec?.source, "spec.source", sources, errors);
    checkClassName(spec?.volumeSnapshotClassName, "volumeSnapshotClassName", errors);
  },
  validateUpdate({ spec }, old, errors) {
    checkKept([spec?.source, old.spec.source], "spec.source", sources, errors);
  },
});
