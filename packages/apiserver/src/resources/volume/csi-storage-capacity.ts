import { compareQuantities, type CSIStorageCapacity } from "@tripod/api/kubernetes";
import { checkName } from "../../registry/names.ts";
import { defineResource } from "../../registry/resource.ts";
import { ageColumn, nameColumn, textColumn } from "../../table/column.ts";

export const csiStorageCapacities = defineResource<CSIStorageCapacity>({
  group: "storage.k8s.io",
  version: "v1",
  kind: "CSIStorageCapacity",
  plural: "csistoragecapacities",
  singular: "csistoragecapacity",
  namespaced: true,
  nameRule: "subdomain",
  columns: [
    nameColumn,
    textColumn<CSIStorageCapacity>("StorageClassName", ({ storageClassName }) => storageClassName),
    textColumn<CSIStorageCapacity>("Capacity", ({ capacity }) => capacity ?? "<unset>"),
    ageColumn,
  ],
  validate({ storageClassName, capacity, maximumVolumeSize }, errors) {
    if (!storageClassName) errors.required("storageClassName");
    else checkName(storageClassName, "subdomain", "storageClassName", errors);
    for (const [field, amount] of Object.entries({ capacity, maximumVolumeSize }))
      if (amount !== undefined && compareQuantities(amount, "0") < 0)
        errors.invalid(field, amount, "must be greater than or equal to 0");
  },
  validateUpdate({ storageClassName }, old, errors) {
    if (storageClassName !== old.storageClassName)
      errors.invalid("storageClassName", storageClassName, "field is immutable");
  },
});
