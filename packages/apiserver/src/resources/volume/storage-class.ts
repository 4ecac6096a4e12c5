import { isDeepStrictEqual } from "node:util";
import type { StorageClass } from "@tripod/api/kubernetes";
import type { FieldErrors } from "../../registry/field-errors.ts";
import type { ObjectStore } from "../../registry/object-store.ts";
import { defineResource } from "../../registry/resource.ts";
import { ageColumn, nameColumn, textColumn } from "../../table/column.ts";

const bindingModes = ["Immediate", "WaitForFirstConsumer"];
const reclaimPolicies = ["Delete", "Retain"];

const isDefault = ({ metadata: { annotations } }: StorageClass): boolean =>
  annotations?.["storageclass.kubernetes.io/is-default-class"] === "true" ||
  annotations?.["storageclass.beta.kubernetes.io/is-default-class"] === "true";

/** Of any class: the name of the driver. */
export function checkProvisioner(name: string | undefined, field: string, errors: FieldErrors): void {
  if (!name) errors.required(field);
  else if (!/^[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?$/.test(name))
    errors.invalid(field, name, "must be a qualified name");
}

/** Of any class: what its driver is given. */
export function checkParameters(parameters: Readonly<Record<string, string>>, errors: FieldErrors): void {
  if (Object.keys(parameters).length > 512) errors.tooLong("parameters", 512);
  if (Object.hasOwn(parameters, "")) errors.invalid("parameters", "", "field must not be empty.");
}

export const storageClasses = defineResource<StorageClass>({
  group: "storage.k8s.io",
  version: "v1",
  kind: "StorageClass",
  plural: "storageclasses",
  singular: "storageclass",
  shortNames: ["sc"],
  namespaced: false,
  nameRule: "subdomain",
  columns: [
    {
      ...nameColumn,
      cell: (storageClass: StorageClass) =>
        `${storageClass.metadata.name}${isDefault(storageClass) ? " (default)" : ""}`,
    },
    textColumn<StorageClass>("Provisioner", ({ provisioner }) => provisioner),
    textColumn<StorageClass>("ReclaimPolicy", ({ reclaimPolicy }) => reclaimPolicy),
    textColumn<StorageClass>("VolumeBindingMode", ({ volumeBindingMode }) => volumeBindingMode),
    { name: "AllowVolumeExpansion", type: "string", cell: ({ allowVolumeExpansion = false }) => allowVolumeExpansion },
    ageColumn,
  ],
  applyDefaults(storageClass) {
    storageClass.reclaimPolicy ??= "Delete";
    storageClass.volumeBindingMode ??= "Immediate";
  },
  validate({ provisioner, reclaimPolicy = "", volumeBindingMode = "", parameters = {} }, errors) {
    checkProvisioner(provisioner, "provisioner", errors);
    if (!reclaimPolicies.includes(reclaimPolicy)) errors.notSupported("reclaimPolicy", reclaimPolicy, reclaimPolicies);
    if (!bindingModes.includes(volumeBindingMode))
      errors.notSupported("volumeBindingMode", volumeBindingMode, bindingModes);
    checkParameters(parameters, errors);
  },
  validateUpdate(storageClass, old, errors) {
    for (const field of ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] as const) {
      if (!isDeepStrictEqual(storageClass[field] ?? null, old[field] ?? null))
        errors.forbidden(field, `updates to ${field} are forbidden.`);
    }
  },
});

/** The class for a claim that names none: the newest of those marked as default. */
export async function defaultStorageClass(store: ObjectStore): Promise<string | undefined> {
  const page = await store.list<StorageClass>(storageClasses, undefined);
  const marked = page.items.map((each) => each.object).filter(isDefault);
  const madeAt = ({ metadata }: StorageClass): string => metadata.creationTimestamp ?? "";
  marked.sort(
    (a, b) => madeAt(b).localeCompare(madeAt(a)) || (a.metadata.name ?? "").localeCompare(b.metadata.name ?? ""),
  );
  return marked[0]?.metadata.name;
}
