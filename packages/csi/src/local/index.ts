export { closeImage, openImage, showsImage, sizeImage } from "./block-image.ts";
export { diskProblems, diskProblemsOfVolume, diskSpace } from "./disk-space.ts";
export { type LocalDriver, type LocalDriverOptions, openLocalDriver } from "./local-driver.ts";
export { isForManyNodes } from "./many-nodes.ts";
export { localTopology, type LocalTopology } from "./local-topology.ts";
export { bindFlags } from "./publication.ts";
export { makeStateFolders } from "./state-folders.ts";
export type {
  Content,
  HealthProblem,
  OpenVolume,
  RangesRequest,
  SnapshotPlan,
  Space,
  StorageProblem,
  StoredVolume,
  VolumeStorage,
} from "./volume-storage.ts";
