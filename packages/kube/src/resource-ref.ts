import type {
  Binding,
  ConfigMap,
  CSIDriver,
  CSINode,
  CSIStorageCapacity,
  Event,
  KubernetesObject,
  Lease,
  Namespace,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  RuntimeClass,
  Secret,
  Service,
  ServiceAccount,
  StorageClass,
  VolumeAttachment,
  VolumeAttributesClass,
  VolumeGroupSnapshot,
  VolumeGroupSnapshotClass,
  VolumeGroupSnapshotContent,
  VolumePopulator,
  VolumeSnapshot,
  VolumeSnapshotClass,
  VolumeSnapshotContent,
} from "@tripod/api/kubernetes";

/** Names a resource of the API; `T` is the object that it holds. */
export interface ResourceRef<T extends KubernetesObject = KubernetesObject> {
  /** "" is core. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  /** For what is written without kind and apiVersion. */
  readonly kind?: string;
  /** Holds nothing; carries the type. */
  readonly object?: T;
}

const ref = <T extends KubernetesObject>(
  group: string,
  version: string,
  plural: string,
  kind: string,
): ResourceRef<T> => ({
  group,
  version,
  plural,
  kind,
});

export const bindings = ref<Binding>("", "v1", "bindings", "Binding");
export const configMaps = ref<ConfigMap>("", "v1", "configmaps", "ConfigMap");
export const events = ref<Event>("", "v1", "events", "Event");
export const namespaces = ref<Namespace>("", "v1", "namespaces", "Namespace");
export const nodes = ref<Node>("", "v1", "nodes", "Node");
export const persistentVolumeClaims = ref<PersistentVolumeClaim>(
  "",
  "v1",
  "persistentvolumeclaims",
  "PersistentVolumeClaim",
);
export const persistentVolumes = ref<PersistentVolume>("", "v1", "persistentvolumes", "PersistentVolume");
export const pods = ref<Pod>("", "v1", "pods", "Pod");
export const secrets = ref<Secret>("", "v1", "secrets", "Secret");
export const services = ref<Service>("", "v1", "services", "Service");
export const serviceAccounts = ref<ServiceAccount>("", "v1", "serviceaccounts", "ServiceAccount");
export const leases = ref<Lease>("coordination.k8s.io", "v1", "leases", "Lease");
export const runtimeClasses = ref<RuntimeClass>("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass");
export const csiDrivers = ref<CSIDriver>("storage.k8s.io", "v1", "csidrivers", "CSIDriver");
export const csiNodes = ref<CSINode>("storage.k8s.io", "v1", "csinodes", "CSINode");
export const csiStorageCapacities = ref<CSIStorageCapacity>(
  "storage.k8s.io",
  "v1",
  "csistoragecapacities",
  "CSIStorageCapacity",
);
export const storageClasses = ref<StorageClass>("storage.k8s.io", "v1", "storageclasses", "StorageClass");
export const volumeAttachments = ref<VolumeAttachment>("storage.k8s.io", "v1", "volumeattachments", "VolumeAttachment");
export const volumeAttributesClasses = ref<VolumeAttributesClass>(
  "storage.k8s.io",
  "v1",
  "volumeattributesclasses",
  "VolumeAttributesClass",
);

const snapshotGroup = "snapshot.storage.k8s.io";
export const volumeSnapshots = ref<VolumeSnapshot>(snapshotGroup, "v1", "volumesnapshots", "VolumeSnapshot");
export const volumeSnapshotClasses = ref<VolumeSnapshotClass>(
  snapshotGroup,
  "v1",
  "volumesnapshotclasses",
  "VolumeSnapshotClass",
);
export const volumeSnapshotContents = ref<VolumeSnapshotContent>(
  snapshotGroup,
  "v1",
  "volumesnapshotcontents",
  "VolumeSnapshotContent",
);

const groupSnapshotGroup = "groupsnapshot.storage.k8s.io";
export const volumeGroupSnapshots = ref<VolumeGroupSnapshot>(
  groupSnapshotGroup,
  "v1",
  "volumegroupsnapshots",
  "VolumeGroupSnapshot",
);
export const volumeGroupSnapshotClasses = ref<VolumeGroupSnapshotClass>(
  groupSnapshotGroup,
  "v1",
  "volumegroupsnapshotclasses",
  "VolumeGroupSnapshotClass",
);
export const volumeGroupSnapshotContents = ref<VolumeGroupSnapshotContent>(
  groupSnapshotGroup,
  "v1",
  "volumegroupsnapshotcontents",
  "VolumeGroupSnapshotContent",
);

export const volumePopulators = ref<VolumePopulator>(
  "populator.storage.k8s.io",
  "v1beta1",
  "volumepopulators",
  "VolumePopulator",
);
