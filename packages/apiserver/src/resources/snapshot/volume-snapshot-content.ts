import type { VolumeSnapshotContent } from "@tripod/api/kubernetes";
import { defineResource } from "../../registry/resource.ts";
import { ageColumn, nameColumn, textColumn } from "../../table/column.ts";
import { volumeModes } from "../volume/access-modes.ts";
import { checkDeletionPolicy, checkKept, checkOneOf, checkReference, customResource } from "./rules.ts";

const sources = ["volumeHandle", "snapshotHandle"] as const;

export const volumeSnapshotContents = defineResource<VolumeSnapshotContent>({
  ...customResource,
  group: "snapshot.storage.k8s.io",
  version: "v1",
  kind: "VolumeSnapshotContent",
  plural: "volumesnapshotcontents",
  singular: "volumesnapshotcontent",
  shortNames: ["vsc", "vscs"],
  namespaced: false,
  hasStatus: true,
  columns: [
    nameColumn,
    { name: "ReadyToUse", type: "boolean", cell: ({ status }) => status?.readyToUse },
    { name: "RestoreSize", type: "integer", cell: ({ status }) => status?.restoreSize },
    textColumn<VolumeSnapshotContent>("DeletionPolicy", ({ spec }) => spec.deletionPolicy),
    textColumn<VolumeSnapshotContent>("Driver", ({ spec }) => spec.driver),
    textColumn<VolumeSnapshotContent>("VolumeSnapshotClass", ({ spec }) => spec.volumeSnapshotClassName),
    textColumn<VolumeSnapshotContent>("VolumeSnapshot", ({ spec }) => spec.volumeSnapshotRef.name),
    textColumn<VolumeSnapshotContent>("VolumeSnapshotNamespace", ({ spec }) => spec.volumeSnapshotRef.namespace),
    ageColumn,
  ],
  prepareCreate(content) {
    delete content.status;
  },
  validate({ spec }, errors) {
    checkOneOf(spec?.source, "spec.source", sources, errors);
    checkReference(spec?.volumeSnapshotRef, "spec.volumeSnapshotRef", errors);
    checkDeletionPolicy(spec?.deletionPolicy, "spec.deletionPolicy", errors);
    if (spec?.driver === undefined) errors.required("spec.driver");
    const mode = spec?.sourceVolumeMode;
    if (mode !== undefined && !volumeModes.includes(mode))
      errors.notSupported("spec.sourceVolumeMode", mode, volumeModes);
  },
  validateUpdate({ spec }, old, errors) {
    checkKept([spec?.source, old.spec.source], "spec.source", sources, errors);
    checkKept([spec, old.spec], "spec", ["sourceVolumeMode"], errors);
  },
  validateStatusUpdate({ status }, _old, errors) {
    const size = status?.restoreSize;
    if (size !== undefined && size < 0)
      errors.invalid("status.restoreSize", size, "should be greater than or equal to 0");
  },
});
