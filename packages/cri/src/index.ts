export { type CriConfig, type LazyStart, lazyStarts } from "./cri-config.ts";
export { type CriServer, startCri, type StartCriOptions } from "./start-cri.ts";
export { instanceCgroups } from "./runtime/cgroup-driver.ts";
export { type Handler, makeHandlers } from "./runtime/handler.ts";
export { type MetricGroup, metricGroups } from "./stats/metrics/descriptors.ts";
