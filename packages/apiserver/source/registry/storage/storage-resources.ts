import type {
  CSIDriver,
  CSINode,
  CSIStorageCapacity,
  PersistentVolume,
  PersistentVolumeClaim,
  StorageClass,
  VolumeAttachment,
} from "@tripod/api/kubernetes";
import { canonicalQuantity, compareQuantities } from "@tripod/api/kubernetes";
import { isDeepStrictEqual } from "node:util";
import type { ApiObject } from "../api-object.ts";
import type { FieldErrors } from "../field-errors.ts";
import type { ObjectStore } from "../object-store.ts";
import { age, ageColumn, nameColumn, type ResourceDefinition } from "../resource.ts";

// In this file each cast follows from the resource that its declaration names: objects are decoded as that kind.

const accessModeLetters: Readonly<Record<string, string>> = {
  ReadWriteOnce: "RWO",
  ReadOnlyMany: "ROX",
  ReadWriteMany: "RWX",
  ReadWriteOncePod: "RWOP",
};
const modes = (list: readonly string[] | undefined): string =>
  [...new Set(list ?? [])].map((mode) => accessModeLetters[mode] ?? mode).join(",");

const storageApi = { group: "storage.k8s.io", version: "v1", nameRule: "subdomain" } as const;
const isDefaultAnnotation = "storageclass.kubernetes.io/is-default-class";
const bindingModes = ["Immediate", "WaitForFirstConsumer"];
const reclaimPolicies = ["Delete", "Retain"];

function checkAccessModes(accessModes: readonly string[] | undefined, errors: FieldErrors): void {
  if ((accessModes ?? []).length === 0) errors.required("spec.accessModes", "at least 1 access mode is required");
  for (const mode of accessModes ?? [])
    if (accessModeLetters[mode] === undefined)
      errors.notSupported("spec.accessModes", mode, Object.keys(accessModeLetters));
  if (accessModes?.includes("ReadWriteOncePod") && accessModes.length > 1)
    errors.forbidden("spec.accessModes", "may not use ReadWriteOncePod with other access modes");
}

const asClass = (object: ApiObject): StorageClass & ApiObject => object as StorageClass & ApiObject;

export const storageClasses: ResourceDefinition = {
  ...storageApi,
  kind: "StorageClass",
  plural: "storageclasses",
  singular: "storageclass",
  shortNames: ["sc"],
  namespaced: false,
  storageName: "storageclasses",
  columns: [
    {
      ...nameColumn,
      cell: (object) =>
        object.metadata.annotations?.[isDefaultAnnotation] === "true"
          ? `${object.metadata.name} (default)`
          : object.metadata.name,
    },
    { name: "Provisioner", type: "string", cell: (object) => asClass(object).provisioner },
    { name: "ReclaimPolicy", type: "string", cell: (object) => asClass(object).reclaimPolicy },
    { name: "VolumeBindingMode", type: "string", cell: (object) => asClass(object).volumeBindingMode },
    {
      name: "AllowVolumeExpansion",
      type: "string",
      cell: (object) => String(asClass(object).allowVolumeExpansion ?? false),
    },
    ageColumn,
  ],
  hasStatus: false,
  subresources: [],
  prepareCreate(object) {
    asClass(object).reclaimPolicy ??= "Delete";
    asClass(object).volumeBindingMode ??= "Immediate";
  },
  prepareUpdate(object) {
    asClass(object).reclaimPolicy ??= "Delete";
    asClass(object).volumeBindingMode ??= "Immediate";
  },
  validate(object, errors) {
    const { provisioner, reclaimPolicy, volumeBindingMode } = asClass(object);
    if (!provisioner) errors.required("provisioner");
    if (!reclaimPolicies.includes(reclaimPolicy ?? ""))
      errors.notSupported("reclaimPolicy", reclaimPolicy, reclaimPolicies);
    if (!bindingModes.includes(volumeBindingMode ?? ""))
      errors.notSupported("volumeBindingMode", volumeBindingMode, bindingModes);
  },
  validateUpdate(object, old, errors) {
    const [next, previous] = [asClass(object), asClass(old)];
    for (const field of ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] as const) {
      if (!isDeepStrictEqual(next[field] ?? null, previous[field] ?? null))
        errors.forbidden(field, `updates to ${field} are forbidden.`);
    }
  },
};

const asVolume = (object: ApiObject): PersistentVolume & ApiObject => object as PersistentVolume & ApiObject;
const volumeMetadata = new Set([
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
const sourcesOf = (volume: PersistentVolume): string[] =>
  Object.keys(volume.spec ?? {}).filter((key) => !volumeMetadata.has(key));

export const persistentVolumes: ResourceDefinition = {
  group: "",
  version: "v1",
  kind: "PersistentVolume",
  plural: "persistentvolumes",
  singular: "persistentvolume",
  shortNames: ["pv"],
  namespaced: false,
  nameRule: "subdomain",
  storageName: "persistentvolumes",
  columns: [
    nameColumn,
    { name: "Capacity", type: "string", cell: (object) => asVolume(object).spec?.capacity?.storage },
    { name: "Access Modes", type: "string", cell: (object) => modes(asVolume(object).spec?.accessModes) },
    { name: "Reclaim Policy", type: "string", cell: (object) => asVolume(object).spec?.persistentVolumeReclaimPolicy },
    {
      name: "Status",
      type: "string",
      cell: (object) =>
        object.metadata.deletionTimestamp === undefined ? asVolume(object).status?.phase : "Terminating",
    },
    {
      name: "Claim",
      type: "string",
      cell(object) {
        const claim = asVolume(object).spec?.claimRef;
        return claim === undefined ? "" : `${claim.namespace}/${claim.name}`;
      },
    },
    { name: "StorageClass", type: "string", cell: (object) => asVolume(object).spec?.storageClassName },
    {
      name: "VolumeAttributesClass",
      type: "string",
      cell: (object) => asVolume(object).spec?.volumeAttributesClassName ?? "<unset>",
    },
    { name: "Reason", type: "string", cell: (object) => asVolume(object).status?.reason },
    ageColumn,
    { name: "VolumeMode", type: "string", priority: 1, cell: (object) => asVolume(object).spec?.volumeMode },
  ],
  hasStatus: true,
  subresources: [{ name: "status", verbs: ["get", "patch", "update"] }],
  prepareCreate(object) {
    const volume = asVolume(object);
    volume.status = { phase: "Pending" };
    volume.metadata.finalizers = [...new Set([...(volume.metadata.finalizers ?? []), "kubernetes.io/pv-protection"])];
    defaultVolume(volume);
  },
  prepareUpdate: (object) => defaultVolume(asVolume(object)),
  validate(object, errors) {
    const volume = asVolume(object);
    checkAccessModes(volume.spec?.accessModes, errors);
    const storage = volume.spec?.capacity?.storage;
    if (storage === undefined) errors.required("spec.capacity");
    else if (compareQuantities(storage, "0") <= 0)
      errors.invalid("spec.capacity[storage]", storage, "must be greater than zero");
    const sources = sourcesOf(volume);
    if (sources.length === 0) errors.required("spec", "must specify a volume type");
    if (sources.length > 1) errors.forbidden(`spec.${sources[1]}`, "may not specify more than 1 volume type");
    if (volume.spec?.csi !== undefined) {
      if (!volume.spec.csi.driver) errors.required("spec.csi.driver");
      if (!volume.spec.csi.volumeHandle) errors.required("spec.csi.volumeHandle");
    }
  },
  validateUpdate(object, old, errors) {
    const [next, previous] = [asVolume(object), asVolume(old)];
    for (const key of sourcesOf(previous)) {
      const field = key as keyof NonNullable<PersistentVolume["spec"]>; // a key of that very object
      if (!isDeepStrictEqual(next.spec?.[field], previous.spec?.[field]))
        errors.forbidden("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation");
    }
  },
};

function defaultVolume(volume: PersistentVolume): void {
  if (volume.spec === undefined) return;
  volume.spec.persistentVolumeReclaimPolicy ??= "Retain";
  volume.spec.volumeMode ??= "Filesystem";
}

const asClaim = (object: ApiObject): PersistentVolumeClaim & ApiObject => object as PersistentVolumeClaim & ApiObject;

/** The newest class that is marked as the default one, for a claim that names none. */
function defaultClass(store: ObjectStore): string | undefined {
  const marked = store
    .list(storageClasses, undefined)
    .items.filter((each) => each.metadata.annotations?.[isDefaultAnnotation] === "true");
  marked.sort(
    (a, b) =>
      (b.metadata.creationTimestamp ?? "").localeCompare(a.metadata.creationTimestamp ?? "") ||
      (a.metadata.name ?? "").localeCompare(b.metadata.name ?? ""),
  );
  return marked[0]?.metadata.name;
}

export const persistentVolumeClaims: ResourceDefinition = {
  group: "",
  version: "v1",
  kind: "PersistentVolumeClaim",
  plural: "persistentvolumeclaims",
  singular: "persistentvolumeclaim",
  shortNames: ["pvc"],
  namespaced: true,
  nameRule: "subdomain",
  storageName: "persistentvolumeclaims",
  columns: [
    nameColumn,
    {
      name: "Status",
      type: "string",
      cell: (object) =>
        object.metadata.deletionTimestamp === undefined ? asClaim(object).status?.phase : "Terminating",
    },
    { name: "Volume", type: "string", cell: (object) => asClaim(object).spec?.volumeName },
    { name: "Capacity", type: "string", cell: (object) => asClaim(object).status?.capacity?.storage },
    { name: "Access Modes", type: "string", cell: (object) => modes(asClaim(object).status?.accessModes) },
    { name: "StorageClass", type: "string", cell: (object) => asClaim(object).spec?.storageClassName },
    {
      name: "VolumeAttributesClass",
      type: "string",
      cell: (object) => asClaim(object).spec?.volumeAttributesClassName ?? "<unset>",
    },
    ageColumn,
    { name: "VolumeMode", type: "string", priority: 1, cell: (object) => asClaim(object).spec?.volumeMode },
  ],
  hasStatus: true,
  subresources: [{ name: "status", verbs: ["get", "patch", "update"] }],
  selectableFields: (object) => ({ "spec.volumeName": asClaim(object).spec?.volumeName ?? "" }),
  prepareCreate(object, { store }) {
    const claim = asClaim(object);
    claim.spec ??= {};
    claim.spec.volumeMode ??= "Filesystem";
    const named =
      claim.spec.storageClassName ??
      claim.metadata.annotations?.["volume.beta.kubernetes.io/storage-class"] ??
      defaultClass(store);
    if (named !== undefined) claim.spec.storageClassName = named;
    claim.status = { phase: "Pending" };
    claim.metadata.finalizers = [...new Set([...(claim.metadata.finalizers ?? []), "kubernetes.io/pvc-protection"])];
  },
  prepareUpdate(object, old) {
    const claim = asClaim(object);
    claim.spec ??= {};
    claim.spec.volumeMode ??= "Filesystem";
    const previous = asClaim(old).spec;
    if (claim.spec.storageClassName === undefined && previous?.storageClassName !== undefined)
      claim.spec.storageClassName = previous.storageClassName;
    if (claim.spec.volumeName === undefined && previous?.volumeName !== undefined)
      claim.spec.volumeName = previous.volumeName;
  },
  validate(object, errors) {
    const { spec } = asClaim(object);
    checkAccessModes(spec?.accessModes, errors);
    const storage = spec?.resources?.requests?.storage;
    if (storage === undefined) errors.required("spec.resources[storage]");
    else if (compareQuantities(storage, "0") <= 0)
      errors.invalid("spec.resources[storage]", canonicalQuantity(storage), "must be greater than zero");
    if (spec?.volumeMode !== "Filesystem" && spec?.volumeMode !== "Block")
      errors.notSupported("spec.volumeMode", spec?.volumeMode, ["Block", "Filesystem"]);
  },
  validateUpdate(object, old, errors) {
    const [next, previous] = [asClaim(object), asClaim(old)];
    const frozen = (claim: PersistentVolumeClaim): unknown => {
      const { resources: _r, volumeAttributesClassName: _v, volumeName, ...rest } = claim.spec ?? {};
      return JSON.parse(JSON.stringify({ ...rest, volumeName: previous.spec?.volumeName ? volumeName : undefined }));
    };
    if (!isDeepStrictEqual(frozen(next), frozen(previous))) {
      errors.forbidden(
        "spec",
        "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
      );
    }
    const [size, was] = [next.spec?.resources?.requests?.storage, previous.spec?.resources?.requests?.storage];
    if (size === undefined || was === undefined || size === was) return;
    if (previous.status?.phase !== "Bound")
      errors.forbidden(
        "spec",
        "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
      );
    else if (compareQuantities(size, was) < 0)
      errors.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity");
  },
};

const asAttachment = (object: ApiObject): VolumeAttachment & ApiObject => object as VolumeAttachment & ApiObject;

export const volumeAttachments: ResourceDefinition = {
  ...storageApi,
  kind: "VolumeAttachment",
  plural: "volumeattachments",
  singular: "volumeattachment",
  namespaced: false,
  storageName: "volumeattachments",
  columns: [
    nameColumn,
    { name: "Attacher", type: "string", cell: (object) => asAttachment(object).spec?.attacher },
    { name: "PV", type: "string", cell: (object) => asAttachment(object).spec?.source?.persistentVolumeName },
    { name: "Node", type: "string", cell: (object) => asAttachment(object).spec?.nodeName },
    { name: "Attached", type: "string", cell: (object) => String(asAttachment(object).status?.attached ?? false) },
    ageColumn,
  ],
  hasStatus: true,
  subresources: [{ name: "status", verbs: ["get", "patch", "update"] }],
  validate(object, errors) {
    const { spec } = asAttachment(object);
    if (!spec?.attacher) errors.required("spec.attacher");
    if (!spec?.nodeName) errors.required("spec.nodeName");
    if (spec?.source?.persistentVolumeName === undefined && spec?.source?.inlineVolumeSpec === undefined)
      errors.required("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
  },
  validateUpdate(object, old, errors) {
    if (!isDeepStrictEqual(asAttachment(object).spec, asAttachment(old).spec))
      errors.invalid("spec", "", "field is immutable");
  },
};

const asDriver = (object: ApiObject): CSIDriver & ApiObject => object as CSIDriver & ApiObject;

export const csiDrivers: ResourceDefinition = {
  ...storageApi,
  kind: "CSIDriver",
  plural: "csidrivers",
  singular: "csidriver",
  namespaced: false,
  storageName: "csidrivers",
  columns: [
    nameColumn,
    { name: "AttachRequired", type: "string", cell: (object) => String(asDriver(object).spec?.attachRequired ?? true) },
    {
      name: "PodInfoOnMount",
      type: "string",
      cell: (object) => String(asDriver(object).spec?.podInfoOnMount ?? false),
    },
    {
      name: "StorageCapacity",
      type: "string",
      cell: (object) => String(asDriver(object).spec?.storageCapacity ?? false),
    },
    {
      name: "TokenRequests",
      type: "string",
      cell: (object) =>
        asDriver(object)
          .spec?.tokenRequests?.map((each) => each.audience)
          .join(",") || "<unset>",
    },
    {
      name: "RequiresRepublish",
      type: "string",
      cell: (object) => String(asDriver(object).spec?.requiresRepublish ?? false),
    },
    { name: "Modes", type: "string", cell: (object) => asDriver(object).spec?.volumeLifecycleModes?.join(",") },
    ageColumn,
  ],
  hasStatus: false,
  subresources: [],
  prepareCreate: (object) => defaultDriver(asDriver(object)),
  prepareUpdate: (object) => defaultDriver(asDriver(object)),
};

function defaultDriver(driver: CSIDriver): void {
  driver.spec ??= {};
  driver.spec.attachRequired ??= true;
  driver.spec.podInfoOnMount ??= false;
  driver.spec.storageCapacity ??= false;
  driver.spec.fsGroupPolicy ??= "ReadWriteOnceWithFSType";
  driver.spec.volumeLifecycleModes ??= ["Persistent"];
  driver.spec.requiresRepublish ??= false;
  driver.spec.seLinuxMount ??= false;
}

export const csiNodes: ResourceDefinition = {
  ...storageApi,
  kind: "CSINode",
  plural: "csinodes",
  singular: "csinode",
  namespaced: false,
  storageName: "csinodes",
  columns: [
    nameColumn,
    { name: "Drivers", type: "integer", cell: (object) => (object as CSINode & ApiObject).spec?.drivers?.length ?? 0 },
    ageColumn,
  ],
  hasStatus: false,
  subresources: [],
};

export const csiStorageCapacities: ResourceDefinition = {
  ...storageApi,
  kind: "CSIStorageCapacity",
  plural: "csistoragecapacities",
  singular: "csistoragecapacity",
  namespaced: true,
  storageName: "csistoragecapacities",
  columns: [
    nameColumn,
    {
      name: "StorageClassName",
      type: "string",
      cell: (object) => (object as CSIStorageCapacity & ApiObject).storageClassName,
    },
    { name: "Capacity", type: "string", cell: (object) => (object as CSIStorageCapacity & ApiObject).capacity },
    { name: "Age", type: "string", cell: (object) => age(object.metadata.creationTimestamp) },
  ],
  hasStatus: false,
  subresources: [],
};
