export { inlineCloudVolume, inlineDriverOf } from "./inline-volume.ts";
export { standInMessage } from "./stand-in-message.ts";
export { inTreePlugins } from "./in-tree-plugins.ts";
export { inTreeDriverOfProvisioner, migratedClass } from "./migrate-class.ts";
export { asCsiVolume, type CsiPersistentVolume, inTreeDriverOf, migratedTo, staticSizeKey } from "./migrate-volume.ts";
