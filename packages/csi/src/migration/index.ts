export { inTreePlugins } from "./in-tree-plugins.ts";
export { inTreeDriverOfProvisioner, migratedClass } from "./migrate-class.ts";
export { asCsiVolume, type CsiPersistentVolume, inTreeDriverOf, migratedTo } from "./migrate-volume.ts";
