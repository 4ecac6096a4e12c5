import type { Resource } from "../registry/resource.ts";
import { configMaps } from "./config-map.ts";
import { events, eventsV1 } from "./event.ts";
import { leases } from "./lease.ts";
import { namespacesOf } from "./namespace.ts";
import { nodes } from "./node.ts";
import { pods } from "./pod/pod.ts";
import { priorityClasses } from "./priority-class.ts";
import { reviews } from "./reviews.ts";
import { runtimeClasses } from "./runtime-class.ts";
import { secrets } from "./secret.ts";
import { services } from "./service/service.ts";
import { serviceAccounts } from "./service-account.ts";
import { allSnapshotResources } from "./snapshot/all-snapshot-resources.ts";
import { csiDrivers } from "./volume/csi-driver.ts";
import { csiNodes } from "./volume/csi-node.ts";
import { csiStorageCapacities } from "./volume/csi-storage-capacity.ts";
import { persistentVolumeClaims } from "./volume/persistent-volume-claim.ts";
import { persistentVolumes } from "./volume/persistent-volume.ts";
import { storageClasses } from "./volume/storage-class.ts";
import { volumeAttachments } from "./volume/volume-attachment.ts";
import { volumeAttributesClasses } from "./volume/volume-attributes-class.ts";

/** Every resource that is served. `caCertificate` (PEM) goes into each namespace. */
export const allResources = (caCertificate: string): readonly Resource[] => [
  configMaps,
  events,
  namespacesOf(caCertificate),
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  secrets,
  serviceAccounts,
  services,
  leases,
  eventsV1,
  runtimeClasses,
  priorityClasses,
  storageClasses,
  volumeAttachments,
  volumeAttributesClasses,
  csiDrivers,
  csiNodes,
  csiStorageCapacities,
  ...allSnapshotResources,
  ...reviews,
];
