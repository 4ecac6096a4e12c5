export {
  hostpathDriverName,
  type HostpathOptions,
  hostpathTopologyKey,
  openHostpathDriver,
} from "./hostpath-driver.ts";
