export type {
  AttachStreams,
  CheckpointingRuntime,
  CheckpointNeeds,
  CheckpointRequest,
  CreateRequest,
  DeleteRequest,
  ExecRequest,
  LowLevelRuntime,
  RuntimeAbilities,
  SupervisedContainer,
  TerminalSize,
} from "./low-level-runtime.ts";
export { endLeftExecs } from "./runc/end-left-execs.ts";
export { type RuncOptions, RuncRuntime } from "./runc/runc-runtime.ts";
export { type ShimOptions, ShimRuntime } from "./shim/shim-runtime.ts";
export { defaultSeccompProfile } from "./seccomp/default-profile.ts";
export { type ApparmorChoice, apparmorEnabled, buildApparmor } from "./lsm/apparmor.ts";
export { checkSelinuxOptions, selinuxEnabled, type SelinuxLabels, selinuxLabels } from "./lsm/selinux.ts";
export type { SeccompChoice } from "./seccomp/seccomp-choice.ts";
export { readAccounts } from "./spec/account-files.ts";
export { checkRuntimeSpec, type SpecProblem } from "./spec/check/check-runtime-spec.ts";
export { buildRuntimeSpec, type RuntimeSpecRequest } from "./spec/build-runtime-spec.ts";
export type { DeviceRequest, HostDevices } from "./spec/devices.ts";
export { grantableCapabilities } from "./spec/capabilities.ts";
export { buildEnvironment } from "./spec/environment.ts";
export type { BindRequest, Propagation } from "./spec/mounts.ts";
export type { NamespaceChoice, NamespaceRequest } from "./spec/namespaces.ts";
export { clampOomScore } from "./spec/oom-score.ts";
export { type ResolvedUser, resolveUser, type UserRequest } from "./spec/process-user.ts";
export { buildResources, type CgroupAbilities, noResources, type ResourcesRequest } from "./spec/resources.ts";
export { buildRlimits, isRlimit, parseRlimits, type RlimitRequest, rlimitType } from "./spec/rlimits.ts";
export type { ProcessSpec, ResourcesSpec, RuntimeSpec } from "./spec/runtime-spec.ts";
