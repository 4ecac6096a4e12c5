import type { VolumePopulator } from "@tripod/api/kubernetes";
import { defineResource } from "../../registry/resource.ts";
import { nameColumn, textColumn } from "../../table/column.ts";
import { customResource } from "./rules.ts";

export const volumePopulators = defineResource<VolumePopulator>({
  ...customResource,
  group: "populator.storage.k8s.io",
  version: "v1beta1",
  kind: "VolumePopulator",
  plural: "volumepopulators",
  singular: "volumepopulator",
  namespaced: false,
  columns: [nameColumn, textColumn<VolumePopulator>("SourceKind", ({ sourceKind }) => JSON.stringify(sourceKind))],
  validate({ sourceKind }, errors) {
    if (sourceKind === undefined) errors.required("sourceKind");
    else
      for (const field of ["group", "kind"] as const)
        if (sourceKind[field] === undefined) errors.required(`sourceKind.${field}`);
  },
});
