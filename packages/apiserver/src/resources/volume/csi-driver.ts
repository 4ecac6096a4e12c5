import type { CSIDriver } from "@tripod/api/kubernetes";
import { defineResource } from "../../registry/resource.ts";
import { ageColumn, nameColumn, textColumn } from "../../table/column.ts";

const fsGroupPolicies = ["File", "None", "ReadWriteOnceWithFSType"];
const lifecycleModes = ["Ephemeral", "Persistent"];

export const csiDrivers = defineResource<CSIDriver>({
  group: "storage.k8s.io",
  version: "v1",
  kind: "CSIDriver",
  plural: "csidrivers",
  singular: "csidriver",
  namespaced: false,
  nameRule: "subdomain",
  hasGeneration: true,
  columns: [
    nameColumn,
    { name: "AttachRequired", type: "boolean", cell: ({ spec }) => spec.attachRequired ?? true },
    { name: "PodInfoOnMount", type: "boolean", cell: ({ spec }) => spec.podInfoOnMount ?? false },
    { name: "StorageCapacity", type: "boolean", cell: ({ spec }) => spec.storageCapacity ?? false },
    textColumn<CSIDriver>(
      "TokenRequests",
      ({ spec }) => (spec.tokenRequests ?? []).map(({ audience }) => audience).join(",") || "<unset>",
    ),
    { name: "RequiresRepublish", type: "boolean", cell: ({ spec }) => spec.requiresRepublish ?? false },
    textColumn<CSIDriver>("Modes", ({ spec }) => (spec.volumeLifecycleModes ?? []).join(",")),
    ageColumn,
  ],
  applyDefaults(driver) {
    const spec = (driver.spec ??= {});
    spec.attachRequired ??= true;
    spec.podInfoOnMount ??= false;
    spec.storageCapacity ??= false;
    spec.requiresRepublish ??= false;
    spec.seLinuxMount ??= false;
    spec.fsGroupPolicy ??= "ReadWriteOnceWithFSType";
    if ((spec.volumeLifecycleModes ?? []).length === 0) spec.volumeLifecycleModes = ["Persistent"];
  },
  validate({ metadata: { name = "" }, spec }, errors) {
    if (name.length > 63) errors.tooLong("metadata.name", 63);
    if (!fsGroupPolicies.includes(spec.fsGroupPolicy ?? ""))
      errors.notSupported("spec.fsGroupPolicy", spec.fsGroupPolicy, fsGroupPolicies);
    for (const mode of spec.volumeLifecycleModes ?? [])
      if (!lifecycleModes.includes(mode)) errors.notSupported("spec.volumeLifecycleModes", mode, lifecycleModes);
  },
  validateUpdate({ spec }, old, errors) {
    if (spec.attachRequired !== old.spec.attachRequired)
      errors.invalid("spec.attachRequired", spec.attachRequired, "field is immutable");
    if (JSON.stringify(spec.volumeLifecycleModes) !== JSON.stringify(old.spec.volumeLifecycleModes))
      errors.invalid("spec.volumeLifecycleModes", spec.volumeLifecycleModes, "field is immutable");
  },
});
