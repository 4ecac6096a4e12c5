export type { AttachmentOptions } from "./attacher/attachment-controller.ts";
export type { PublishedCheckOptions } from "./attacher/published-check.ts";
export type { CapacityOptions } from "./capacity/capacity-controller.ts";
export type { VolumeHealthOptions } from "./health/volume-health.ts";
export type { NodeLifecycleOptions } from "./node-lifecycle/node-lifecycle.ts";
export type { StandIns } from "./migration/serving-drivers.ts";
export type { PodGcOptions } from "./pod-gc/pod-gc.ts";
export { type Controllers, type ControllersOptions, startControllers } from "./start-controllers.ts";
