import type { ClaimResourceStatus, PersistentVolumeClaim } from "@tripod/api/kubernetes";
import type { ErrorCode } from "@tripod/base";

/** How far a claim's growth has come, in quantities. */
export interface ClaimGrowth {
  /** What its user asks for. */
  readonly requested: string;
  /** What its Pods have; undefined before it is bound. */
  readonly actual: string | undefined;
  /** What was last asked of the driver. */
  readonly allocated: string | undefined;
  /** Where that stands; undefined when it has been reached. */
  readonly state: ClaimResourceStatus | undefined;
}

export const claimGrowth = ({ spec, status }: PersistentVolumeClaim): ClaimGrowth => ({
  requested: spec.resources?.requests?.storage ?? "0",
  actual: status?.capacity?.storage,
  allocated: status?.allocatedResources?.storage,
  state: status?.allocatedResourceStatuses?.storage,
});

/** On a claim: its volume has grown without any work on nodes. */
export const nodeExpansionNotRequired = "volume.kubernetes.io/node-expansion-not-required";
/** On a volume that has grown, until its file system has, too: the size that Pods still have. */
export const preResizeCapacity = "volume.alpha.kubernetes.io/pre-resize-capacity";

/** Whether a driver that failed so is certainly not at work any more; others may have done what they were asked, or still do. */
export const isFinalFailure = (code: ErrorCode): boolean =>
  !["cancelled", "timeout", "unavailable", "exhausted", "aborted", "conflict"].includes(code);

/** Whether a driver that failed so says that what was asked of it can never be. */
export const isInfeasible = (code: ErrorCode): boolean => ["invalid", "out-of-range", "not-found"].includes(code);
