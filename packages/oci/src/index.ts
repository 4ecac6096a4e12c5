export type { ExportOptions } from "./archive/export-archive.ts";
export type { ImportOptions } from "./archive/import-archive.ts";
export type { ConvertOptions } from "./build/convert-image.ts";
export type { BuildOptions } from "./build/build-image.ts";
export {
  type CopySpec,
  type ImageSpec,
  imageSpecFile,
  parseCopy,
  parseImageSpec,
  parsePort,
} from "./build/image-spec.ts";
export type { Copied, CopyOptions } from "./copy/copy-image.ts";
export { type CopyPlace, parseCopyPlace } from "./copy/copy-place.ts";
export { applyCdiEdits } from "./cdi/apply-edits.ts";
export { CdiDevices, type CdiOverview } from "./cdi/cdi-devices.ts";
export { cdiDevicesOf } from "./cdi/device-name.ts";
export { type Digest, digestOf, hexOf, isDigest, parseDigest } from "./digest.ts";
export type {
  DiskUsage,
  Image,
  LayerProgress,
  LazyPullOptions,
  OnProgress,
  PullOptions,
  RegistryAuth,
  Rootfs,
} from "./image.ts";
export { Images, type ImagesOptions } from "./images.ts";
export type { TreeChange } from "./snapshots/compare-trees.ts";
export type { RemoteImages } from "./remote-images.ts";
export type { GarbageReport } from "./images/collect-garbage.ts";
export type { InspectRemoteOptions, RemoteImage } from "./images/inspect-remote.ts";
export type { ImageMount, UnmountImagesOptions } from "./images/mounts.ts";
export type { PruneOptions, PruneReport } from "./images/prune.ts";
export type { PushOptions } from "./images/push.ts";
export type { Damage, VerifyOptions, VerifyReport } from "./images/verify-store.ts";
export type { ImageUsage, StoreUsage } from "./images/usage.ts";
export {
  formatReference,
  type ImageReference,
  parseReference,
  repositoryOf,
  tagReferenceOf,
} from "./reference.ts";
export { checkWritableLimit, isWritableLimit } from "./snapshots/limited-folder.ts";
export { type CompareOptions, compareTrees } from "./snapshots/compare-trees.ts";
export { LayeredSnapshotter } from "./snapshots/layered-snapshotter.ts";
export {
  type SnapshotterKind,
  snapshotterKinds,
  type SnapshotterProblem,
  snapshotterProblem,
} from "./snapshots/snapshotter-kind.ts";
export type {
  IdMap,
  IdMapMethod,
  LayerDraft,
  LayerFacts,
  LayerSnapshot,
  Snapshotter,
  WritableLimit,
  WritableOptions,
  WritableUsage,
} from "./snapshots/snapshotter.ts";
export type { LazyLayer, LazyState } from "./snapshots/lazy-layers.ts";
export type { RestoredFiles } from "./images/restored-layer.ts";
export type { LayerLimits } from "./unpack/layer-limits.ts";
export type { Artifact, ArtifactFile } from "./spec/artifact.ts";
export { signatureFailure } from "./trust/enforce-policy.ts";
export type { SignOptions } from "./trust/sign-image.ts";
export type { Descriptor } from "./spec/descriptor.ts";
export type { ExecutionConfig, HistoryEntry, ImageConfig } from "./spec/image-config.ts";
export { formatPlatform, hostPlatform, type Platform } from "./spec/platform.ts";
export {
  type ApparmorChoice,
  apparmorEnabled,
  buildApparmor,
  checkSelinuxOptions,
  type HostDevices,
  isRlimit,
  type AttachStreams,
  type CheckpointingRuntime,
  type CheckpointNeeds,
  type CheckpointRequest,
  type BindRequest,
  buildEnvironment,
  buildResources,
  buildRlimits,
  buildRuntimeSpec,
  checkRuntimeSpec,
  type SpecProblem,
  type CgroupAbilities,
  clampOomScore,
  type CreateRequest,
  defaultSeccompProfile,
  type DeleteRequest,
  type DeviceRequest,
  type ExecRequest,
  grantableCapabilities,
  type LowLevelRuntime,
  type NamespaceChoice,
  type NamespaceRequest,
  noResources,
  type ProcessSpec,
  parseRlimits,
  type Propagation,
  readAccounts,
  type ResolvedUser,
  resolveUser,
  type ResourcesRequest,
  type ResourcesSpec,
  endLeftExecs,
  RuncRuntime,
  ShimRuntime,
  type RuntimeAbilities,
  type RuntimeSpec,
  type RuntimeSpecRequest,
  type RlimitRequest,
  rlimitType,
  type SeccompChoice,
  selinuxEnabled,
  type SelinuxLabels,
  selinuxLabels,
  type TerminalSize,
  type UserRequest,
} from "./runtime/index.ts";
