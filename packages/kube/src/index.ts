export { abortableDelay, type RequestOptions } from "./connection.ts";
export { type Correlated, EventCorrelator, type EventKey } from "./event-correlator.ts";
export { EventRecorder, type EventRecorderOptions, type NewEvent, referenceTo } from "./event-recorder.ts";
export { Informer, type InformerHandler, type InformerOptions, type InformerSource } from "./informer.ts";
export { KubeClient, type KubeClientOptions, type LogOptions } from "./kube-client.ts";
export { errorOfStatus, isStatus } from "./kube-error.ts";
export { type KubeConfig, parseKubeconfig, readKubeconfig } from "./kubeconfig.ts";
export {
  type CallOptions,
  type ListOf,
  type ListOptions,
  type PatchOptions,
  type RemoveOptions,
  ResourceClient,
  type SelectOptions,
  type WatchOptions,
  type WriteOptions,
} from "./resource-client.ts";
export {
  bindings,
  configMaps,
  csiDrivers,
  csiNodes,
  csiStorageCapacities,
  events,
  leases,
  namespaces,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  type ResourceRef,
  runtimeClasses,
  secrets,
  serviceAccounts,
  services,
  storageClasses,
  volumeAttachments,
  volumeAttributesClasses,
  volumeGroupSnapshotClasses,
  volumeGroupSnapshotContents,
  volumeGroupSnapshots,
  volumePopulators,
  volumeSnapshotClasses,
  volumeSnapshotContents,
  volumeSnapshots,
} from "./resource-ref.ts";
export { waitFor, type WaitOptions } from "./wait-for.ts";
export { readWatch, type WatchEventOf } from "./watch-stream.ts";
export { WorkQueue, type WorkQueueOptions } from "./work-queue.ts";
