// Made by tools/gen-kubernetes.ts; do not edit.
import type { ListMeta, ObjectMeta, TypeMeta } from "./meta-v1.ts";
import type { MicroTime } from "./scalars.ts";

export type CoordinatedLeaseStrategy = string;

export interface Lease extends TypeMeta {
  metadata: ObjectMeta;
  spec?: LeaseSpec;
}

export interface LeaseSpec {
  holderIdentity?: string;
  leaseDurationSeconds?: number;
  acquireTime?: MicroTime;
  renewTime?: MicroTime;
  leaseTransitions?: number;
  strategy?: CoordinatedLeaseStrategy;
  preferredHolder?: string;
}

export interface LeaseList extends TypeMeta {
  metadata: ListMeta;
  items: Lease[];
}
