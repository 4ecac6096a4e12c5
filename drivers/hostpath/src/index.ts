export { type HostpathDriver, type HostpathOptions, openHostpathDriver } from "./hostpath-driver.ts";
export { driverName as hostpathDriverName, topologyKey as hostpathTopologyKey } from "./topology.ts";
