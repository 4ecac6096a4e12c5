import { compareQuantities, type PersistentVolumeClaim } from "@tripod/api/kubernetes";
import { checkSelector } from "../../registry/check-selector.ts";
import { checkName } from "../../registry/names.ts";
import { defineResource } from "../../registry/resource.ts";
import { ageColumn, nameColumn, textColumn } from "../../table/column.ts";
import { accessModesText, checkAccessModes, volumeModes } from "./access-modes.ts";
import { admitGrowth, checkClaimUpdate } from "./claim-update.ts";
import { checkDataSource, normalizeDataSource } from "./data-source.ts";
import { defaultStorageClass } from "./storage-class.ts";

const protection = "kubernetes.io/pvc-protection";
const betaClass = "volume.beta.kubernetes.io/storage-class";
const resizeStates: readonly string[] = [
  "ControllerResizeInfeasible",
  "ControllerResizeInProgress",
  "NodeResizeInfeasible",
  "NodeResizeInProgress",
  "NodeResizePending",
];

export const persistentVolumeClaims = defineResource<PersistentVolumeClaim>({
  group: "",
  version: "v1",
  kind: "PersistentVolumeClaim",
  plural: "persistentvolumeclaims",
  singular: "persistentvolumeclaim",
  shortNames: ["pvc"],
  namespaced: true,
  nameRule: "subdomain",
  hasStatus: true,
  columns: [
    nameColumn,
    textColumn<PersistentVolumeClaim>("Status", ({ metadata, status }) =>
      metadata.deletionTimestamp === undefined ? status?.phase : "Terminating",
    ),
    textColumn<PersistentVolumeClaim>("Volume", ({ spec }) => spec.volumeName),
    textColumn<PersistentVolumeClaim>("Capacity", ({ spec, status }) =>
      spec.volumeName ? status?.capacity?.storage : "",
    ),
    textColumn<PersistentVolumeClaim>("Access Modes", ({ spec, status }) =>
      spec.volumeName ? accessModesText(status?.accessModes) : "",
    ),
    textColumn<PersistentVolumeClaim>(
      "StorageClass",
      ({ metadata, spec }) => spec.storageClassName ?? metadata.annotations?.[betaClass],
    ),
    textColumn<PersistentVolumeClaim>(
      "VolumeAttributesClass",
      ({ spec }) => spec.volumeAttributesClassName ?? "<unset>",
    ),
    ageColumn,
    textColumn<PersistentVolumeClaim>("VolumeMode", ({ spec }) => spec.volumeMode ?? "<unset>", { wide: true }),
  ],
  selectableFields: ({ spec }) => ({ "spec.volumeName": spec?.volumeName ?? "" }),
  applyDefaults(claim) {
    claim.spec ??= {};
    claim.spec.volumeMode ??= "Filesystem";
  },
  async admitCreate(claim, { store }) {
    const named = claim.spec.storageClassName ?? claim.metadata.annotations?.[betaClass];
    if (named !== undefined) return;
    const chosen = await defaultStorageClass(store);
    if (chosen !== undefined) claim.spec.storageClassName = chosen;
  },
  prepareCreate(claim) {
    claim.status = { phase: "Pending" };
    normalizeDataSource(claim.spec);
    claim.metadata.finalizers = [...new Set([...(claim.metadata.finalizers ?? []), protection])];
  },
  prepareUpdate(claim, old) {
    // A manifest that is applied again by replacing does not name what was filled in.
    if (old.spec.storageClassName !== undefined) claim.spec.storageClassName ??= old.spec.storageClassName;
    if (old.spec.volumeName) claim.spec.volumeName ||= old.spec.volumeName;
    normalizeDataSource(claim.spec, old.spec);
  },
  validate({ metadata, spec }, errors) {
    checkAccessModes(spec.accessModes, errors);
    const storage = spec.resources?.requests?.storage;
    if (storage === undefined) errors.required("spec.resources[storage]");
    else if (compareQuantities(storage, "0") <= 0)
      errors.invalid("spec.resources[storage]", storage, "must be greater than zero");
    if (spec.storageClassName) checkName(spec.storageClassName, "subdomain", "spec.storageClassName", errors);
    if (!volumeModes.includes(spec.volumeMode ?? ""))
      errors.notSupported("spec.volumeMode", spec.volumeMode, volumeModes);
    // One that was stored before this was checked can still go.
    if (metadata.deletionTimestamp === undefined) checkSelector(spec.selector, "spec.selector", errors);
    checkDataSource(spec, errors);
  },
  admitUpdate: admitGrowth,
  validateUpdate: checkClaimUpdate,
  validateStatusUpdate({ status }, _old, errors) {
    for (const [field, state] of Object.entries(status?.allocatedResourceStatuses ?? {}))
      if (!resizeStates.includes(state))
        errors.notSupported(`status.allocatedResourceStatuses[${field}]`, state, resizeStates);
  },
});
