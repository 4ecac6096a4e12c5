import type { VolumeSnapshotClass } from "@tripod/api/kubernetes";
import { defineResource } from "../../registry/resource.ts";
import { ageColumn, nameColumn, textColumn } from "../../table/column.ts";
import { checkDeletionPolicy, customResource } from "./rules.ts";

export const volumeSnapshotClasses = defineResource<VolumeSnapshotClass>({
  ...customResource,
  group: "snapshot.storage.k8s.io",
  version: "v1",
  kind: "VolumeSnapshotClass",
  plural: "volumesnapshotclasses",
  singular: "volumesnapshotclass",
  shortNames: ["vsclass", "vsclasses"],
  namespaced: false,
  columns: [
    nameColumn,
    textColumn<VolumeSnapshotClass>("Driver", ({ driver }) => driver),
    textColumn<VolumeSnapshotClass>("DeletionPolicy", ({ deletionPolicy }) => deletionPolicy),
    ageColumn,
  ],
  validate({ driver, deletionPolicy }, errors) {
    if (driver === undefined) errors.required("driver");
    checkDeletionPolicy(deletionPolicy, "deletionPolicy", errors);
  },
});
