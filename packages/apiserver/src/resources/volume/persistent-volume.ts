import { isDeepStrictEqual } from "node:util";
import { compareQuantities, type PersistentVolume, timeNow } from "@tripod/api/kubernetes";
import { checkName } from "../../registry/names.ts";
import { defineResource } from "../../registry/resource.ts";
import { ageColumn, nameColumn, textColumn } from "../../table/column.ts";
import { accessModesText, checkAccessModes, volumeModes } from "./access-modes.ts";

const protection = "kubernetes.io/pv-protection";
const reclaimPolicies = ["Delete", "Recycle", "Retain"];
/** Fields of a volume's spec that are no source. */
const common = new Set([
  "capacity",
  "accessModes",
  "claimRef",
  "persistentVolumeReclaimPolicy",
  "storageClassName",
  "mountOptions",
  "volumeMode",
  "nodeAffinity",
  "volumeAttributesClassName",
]);

const sourcesOf = ({ spec }: PersistentVolume): Record<string, unknown> =>
  Object.fromEntries(Object.entries(spec ?? {}).filter(([key]) => !common.has(key)));

export const persistentVolumes = defineResource<PersistentVolume>({
  group: "",
  version: "v1",
  kind: "PersistentVolume",
  plural: "persistentvolumes",
  singular: "persistentvolume",
  shortNames: ["pv"],
  namespaced: false,
  nameRule: "subdomain",
  hasStatus: true,
  columns: [
    nameColumn,
    textColumn<PersistentVolume>("Capacity", ({ spec }) => spec.capacity?.storage),
    textColumn<PersistentVolume>("Access Modes", ({ spec }) => accessModesText(spec.accessModes)),
    textColumn<PersistentVolume>("Reclaim Policy", ({ spec }) => spec.persistentVolumeReclaimPolicy),
    textColumn<PersistentVolume>("Status", ({ metadata, status }) =>
      metadata.deletionTimestamp === undefined ? status?.phase : "Terminating",
    ),
    textColumn<PersistentVolume>("Claim", ({ spec: { claimRef } }) =>
      claimRef === undefined ? "" : `${claimRef.namespace}/${claimRef.name}`,
    ),
    textColumn<PersistentVolume>("StorageClass", ({ spec }) => spec.storageClassName),
    textColumn<PersistentVolume>("VolumeAttributesClass", ({ spec }) => spec.volumeAttributesClassName ?? "<unset>"),
    textColumn<PersistentVolume>("Reason", ({ status }) => status?.reason),
    ageColumn,
    textColumn<PersistentVolume>("VolumeMode", ({ spec }) => spec.volumeMode ?? "<unset>", { wide: true }),
  ],
  applyDefaults(volume) {
    volume.spec ??= {};
    volume.spec.persistentVolumeReclaimPolicy ??= "Retain";
    volume.spec.volumeMode ??= "Filesystem";
  },
  prepareCreate(volume) {
    volume.status = { phase: "Pending", lastPhaseTransitionTime: timeNow() };
    volume.metadata.finalizers = [...new Set([...(volume.metadata.finalizers ?? []), protection])];
  },
  prepareStatusUpdate({ status }, old) {
    if (status === undefined || status.phase === old.status?.phase) return;
    // Whoever says when is believed.
    const said = status.lastPhaseTransitionTime;
    if (said === undefined || said === old.status?.lastPhaseTransitionTime) status.lastPhaseTransitionTime = timeNow();
  },
  validate(volume, errors) {
    const { spec } = volume;
    checkAccessModes(spec.accessModes, errors);
    const storage = spec.capacity?.storage;
    if (storage === undefined) errors.required("spec.capacity");
    else if (compareQuantities(storage, "0") <= 0)
      errors.invalid("spec.capacity[storage]", storage, "must be greater than zero");
    if (!reclaimPolicies.includes(spec.persistentVolumeReclaimPolicy ?? ""))
      errors.notSupported("spec.persistentVolumeReclaimPolicy", spec.persistentVolumeReclaimPolicy, reclaimPolicies);
    if (!volumeModes.includes(spec.volumeMode ?? ""))
      errors.notSupported("spec.volumeMode", spec.volumeMode, volumeModes);
    const [first, ...others] = Object.keys(sourcesOf(volume));
    if (first === undefined) errors.required("spec", "must specify a volume type");
    for (const extra of others) errors.forbidden(`spec.${extra}`, "may not specify more than 1 volume type");
    if (spec.csi !== undefined) {
      if (!spec.csi.driver) errors.required("spec.csi.driver");
      if (!spec.csi.volumeHandle) errors.required("spec.csi.volumeHandle");
    }
    if (spec.volumeAttributesClassName !== undefined) {
      if (spec.csi === undefined)
        errors.required("spec.csi", "has to be specified when using volumeAttributesClassName");
      checkName(spec.volumeAttributesClassName, "subdomain", "spec.volumeAttributesClassName", errors);
    }
    if (spec.hostPath !== undefined && !spec.hostPath.path) errors.required("spec.hostPath.path");
    if (spec.local !== undefined) {
      if (!spec.local.path) errors.required("spec.local.path");
      if (spec.nodeAffinity === undefined) errors.required("spec.nodeAffinity", "Local volume requires node affinity");
    }
  },
  validateUpdate(volume, old, errors) {
    if (!isDeepStrictEqual(sourcesOf(volume), sourcesOf(old)))
      errors.forbidden("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation");
    if (volume.spec.volumeMode !== old.spec.volumeMode)
      errors.invalid("spec.volumeMode", volume.spec.volumeMode, "field is immutable");
    if (old.spec.volumeAttributesClassName !== undefined && volume.spec.volumeAttributesClassName === undefined)
      errors.forbidden("spec.volumeAttributesClassName", "update from non-nil value to nil is forbidden");
    if (old.spec.nodeAffinity !== undefined && !isDeepStrictEqual(volume.spec.nodeAffinity, old.spec.nodeAffinity))
      errors.invalid("spec.nodeAffinity", volume.spec.nodeAffinity, "field is immutable");
  },
});
