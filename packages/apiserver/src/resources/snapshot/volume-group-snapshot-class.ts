import type { VolumeGroupSnapshotClass } from "@tripod/api/kubernetes";
import { defineResource } from "../../registry/resource.ts";
import { ageColumn, nameColumn, textColumn } from "../../table/column.ts";
import { checkDeletionPolicy, checkKept, customResource } from "./rules.ts";

export const volumeGroupSnapshotClasses = defineResource<VolumeGroupSnapshotClass>({
  ...customResource,
  group: "groupsnapshot.storage.k8s.io",
  version: "v1",
  kind: "VolumeGroupSnapshotClass",
  plural: "volumegroupsnapshotclasses",
  singular: "volumegroupsnapshotclass",
  shortNames: ["vgsclass", "vgsclasses"],
  namespaced: false,
  columns: [
    nameColumn,
    textColumn<VolumeGroupSnapshotClass>("Driver", ({ driver }) => driver),
    textColumn<VolumeGroupSnapshotClass>("DeletionPolicy", ({ deletionPolicy }) => deletionPolicy),
    ageColumn,
  ],
  validate({ driver, deletionPolicy }, errors) {
    if (driver === undefined) errors.required("driver");
    checkDeletionPolicy(deletionPolicy, "deletionPolicy", errors);
  },
  validateUpdate(snapshotClass, old, errors) {
    checkKept([snapshotClass, old], "", ["driver", "parameters", "deletionPolicy"], errors);
  },
});
