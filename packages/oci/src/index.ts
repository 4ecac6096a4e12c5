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
export {
  type AttachStreams,
  type BindRequest,
  buildEnvironment,
  buildResources,
  buildRuntimeSpec,
  type CgroupAbilities,
  type CreateRequest,
  defaultSeccompProfile,
  type DeviceRequest,
  type ExecRequest,
  type LowLevelRuntime,
  type NamespaceChoice,
  type NamespaceRequest,
  type ProcessSpec,
  type Propagation,
  readAccounts,
  type ResolvedUser,
  resolveUser,
  type ResourcesRequest,
  type ResourcesSpec,
  RuncRuntime,
  type RuntimeAbilities,
  type RuntimeSpec,
  type RuntimeSpecRequest,
  type SeccompChoice,
  type TerminalSize,
  type UserRequest,
} from "./runtime/index.ts";
