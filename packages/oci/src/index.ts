export { type Digest, digestOf, hexOf, isDigest, parseDigest } from "./digest.ts";
export type {
  DiskUsage,
  Image,
  LayerProgress,
  OnProgress,
  PullOptions,
  RegistryAuth,
  Rootfs,
} from "./image.ts";
export { Images, type ImagesOptions } from "./images.ts";
export type { Descriptor } from "./spec/descriptor.ts";
export type { ExecutionConfig, HistoryEntry, ImageConfig } from "./spec/image-config.ts";
export { formatPlatform, hostPlatform, type Platform } from "./spec/platform.ts";
