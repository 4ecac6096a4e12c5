import type { VolumeGroupSnapshotContent } from "@tripod/api/kubernetes";
import { defineResource } from "../../registry/resource.ts";
import { ageColumn, nameColumn, textColumn } from "../../table/column.ts";
import { checkDeletionPolicy, checkKept, checkOneOf, checkReference, customResource } from "./rules.ts";

const sources = ["volumeHandles", "groupSnapshotHandles"] as const;

export const volumeGroupSnapshotContents = defineResource<VolumeGroupSnapshotContent>({
  ...customResource,
  group: "groupsnapshot.storage.k8s.io",
  version: "v1",
  kind: "VolumeGroupSnapshotContent",
  plural: "volumegroupsnapshotcontents",
  singular: "volumegroupsnapshotcontent",
  shortNames: ["vgsc", "vgscs"],
  namespaced: false,
  hasStatus: true,
  columns: [
    nameColumn,
    { name: "ReadyToUse", type: "boolean", cell: ({ status }) => status?.readyToUse },
    textColumn<VolumeGroupSnapshotContent>("DeletionPolicy", ({ spec }) => spec.deletionPolicy),
    textColumn<VolumeGroupSnapshotContent>("Driver", ({ spec }) => spec.driver),
    textColumn<VolumeGroupSnapshotContent>("VolumeGroupSnapshotClass", ({ spec }) => spec.volumeGroupSnapshotClassName),
    textColumn<VolumeGroupSnapshotContent>(
      "VolumeGroupSnapshotNamespace",
      ({ spec }) => spec.volumeGroupSnapshotRef.namespace,
    ),
    textColumn<VolumeGroupSnapshotContent>("VolumeGroupSnapshot", ({ spec }) => spec.volumeGroupSnapshotRef.name),
    ageColumn,
  ],
  prepareCreate(content) {
    delete content.status;
  },
  validate({ spec }, errors) {
    checkOneOf(spec?.source, "spec.source", sources, errors);
    checkReference(spec?.volumeGroupSnapshotRef, "spec.volumeGroupSnapshotRef", errors);
    checkDeletionPolicy(spec?.deletionPolicy, "spec.deletionPolicy", errors);
    if (spec?.driver === undefined) errors.required("spec.driver");
    const handles = spec?.source?.groupSnapshotHandles;
    for (const field of ["volumeGroupSnapshotHandle", "volumeSnapshotHandles"] as const)
      if (handles !== undefined && handles[field] === undefined)
        errors.required(`spec.source.groupSnapshotHandles.${field}`);
  },
  validateUpdate({ spec }, old, errors) {
    checkKept([spec?.source, old.spec.source], "spec.source", sources, errors);
    checkKept([spec, old.spec], "spec", ["driver", "volumeGroupSnapshotClassName"], errors);
    const references = [spec?.volumeGroupSnapshotRef, old.spec.volumeGroupSnapshotRef] as const;
    checkKept(references, "spec.volumeGroupSnapshotRef", ["name", "namespace", "uid"], errors);
  },
  validateStatusUpdate({ status }, old, errors) {
    // It goes when its storage has gone.
    if (status?.volumeGroupSnapshotHandle !== undefined)
      checkKept([status, old.status], "status", ["volumeGroupSnapshotHandle"], errors);
  },
});
