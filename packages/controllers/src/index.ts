export type { NodeLifecycleOptions } from "./node-lifecycle/node-lifecycle.ts";
export type { StandIns } from "./migration/serving-drivers.ts";
export type { PodGcOptions } from "./pod-gc/pod-gc.ts";
export { type Controllers, type ControllersOptions, startControllers } from "./start-controllers.ts";
