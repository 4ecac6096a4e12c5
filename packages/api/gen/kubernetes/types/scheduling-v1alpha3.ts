// Made by tools/gen-kubernetes.ts; do not edit.
import type { Condition, ListMeta, ObjectMeta, TypeMeta } from "./meta-v1.ts";

export interface Workload extends TypeMeta {
  metadata: ObjectMeta;
  spec: WorkloadSpec;
}

export interface WorkloadList extends TypeMeta {
  metadata: ListMeta;
  items: Workload[];
}

export interface WorkloadSpec {
  controllerRef?: TypedLocalObjectReference;
  podGroupTemplates?: PodGroupTemplate[];
  compositePodGroupTemplates?: CompositePodGroupTemplate[];
}

export interface TypedLocalObjectReference {
  apiGroup?: string;
  kind: string;
  name: string;
}

export interface PodGroupTemplate {
  name: string;
  schedulingPolicy: PodGroupSchedulingPolicy;
  schedulingConstraints?: PodGroupSchedulingConstraints;
  resourceClaims?: PodGroupResourceClaim[];
  disruptionMode?: DisruptionMode;
  priorityClassName?: string;
  priority?: number;
  preemptionPolicy?: PreemptionPolicy;
}

export interface CompositePodGroupTemplate {
  name: string;
  schedulingPolicy: CompositePodGroupSchedulingPolicy;
  schedulingConstraints?: CompositePodGroupSchedulingConstraints;
  disruptionMode?: CompositeDisruptionMode;
  priorityClassName?: string;
  priority?: number;
  preemptionPolicy?: PreemptionPolicy;
  podGroupTemplates?: PodGroupTemplate[];
  compositePodGroupTemplates?: CompositePodGroupTemplate[];
}

export interface PodGroupSchedulingPolicy {
  basic?: BasicSchedulingPolicy;
  gang?: GangSchedulingPolicy;
}

export interface BasicSchedulingPolicy {
}

export interface GangSchedulingPolicy {
  minCount: number;
}

export interface PodGroupResourceClaim {
  name: string;
  resourceClaimName?: string;
  resourceClaimTemplateName?: string;
}

export interface DisruptionMode {
  single?: SingleDisruptionMode;
  all?: AllDisruptionMode;
}

export interface SingleDisruptionMode {
}

export interface AllDisruptionMode {
}

export type PreemptionPolicy = "PreemptLowerPriority" | "Never";

export interface PodGroup extends TypeMeta {
  metadata: ObjectMeta;
  spec: PodGroupSpec;
  status?: PodGroupStatus;
}

export interface PodGroupList extends TypeMeta {
  metadata: ListMeta;
  items: PodGroup[];
}

export interface PodGroupSpec {
  parentCompositePodGroupName?: string;
  workloadRef?: WorkloadReference;
  schedulingPolicy: PodGroupSchedulingPolicy;
  schedulingConstraints?: PodGroupSchedulingConstraints;
  resourceClaims?: PodGroupResourceClaim[];
  disruptionMode?: DisruptionMode;
  priorityClassName?: string;
  priority?: number;
  preemptionPolicy?: PreemptionPolicy;
}

export interface PodGroupStatus {
  conditions?: Condition[];
  resourceClaimStatuses?: PodGroupResourceClaimStatus[];
}

export interface PodGroupResourceClaimStatus {
  name: string;
  resourceClaimName?: string;
}

export interface WorkloadReference {
  workloadName: string;
  templateName: string;
}

export interface PodGroupSchedulingConstraints {
  topology?: TopologyConstraint[];
}

export interface TopologyConstraint {
  key: string;
}

export interface WorkloadPodGroupSchedulingPolicy {
  basic?: WorkloadPodGroupBasicSchedulingPolicy;
  gang?: WorkloadPodGroupGangSchedulingPolicy;
}

export interface WorkloadPodGroupBasicSchedulingPolicy {
}

export interface WorkloadPodGroupGangSchedulingPolicy {
  minCount?: number;
}

export interface WorkloadPodGroupSchedulingConstraints {
  topology?: TopologyConstraint[];
}

export interface WorkloadPodGroupResourceClaim {
  name: string;
  resourceClaimName?: string;
  resourceClaimTemplateName?: string;
}

export interface WorkloadPodGroupDisruptionMode {
  single?: WorkloadPodGroupSingleDisruptionMode;
  all?: WorkloadPodGroupAllDisruptionMode;
}

export interface WorkloadPodGroupSingleDisruptionMode {
}

export interface WorkloadPodGroupAllDisruptionMode {
}

export interface WorkloadCompositePodGroupSchedulingPolicy {
  basic?: WorkloadCompositePodGroupBasicSchedulingPolicy;
  gang?: WorkloadCompositePodGroupGangSchedulingPolicy;
}

export interface WorkloadCompositePodGroupBasicSchedulingPolicy {
}

export interface WorkloadCompositePodGroupGangSchedulingPolicy {
  minGroupCount?: number;
}

export interface WorkloadCompositePodGroupSchedulingConstraints {
  topology?: TopologyConstraint[];
}

export interface WorkloadCompositePodGroupDisruptionMode {
  single?: WorkloadCompositePodGroupSingleDisruptionMode;
  all?: WorkloadCompositePodGroupAllDisruptionMode;
}

export interface WorkloadCompositePodGroupSingleDisruptionMode {
}

export interface WorkloadCompositePodGroupAllDisruptionMode {
}

export interface CompositePodGroup extends TypeMeta {
  metadata: ObjectMeta;
  spec: CompositePodGroupSpec;
  status?: CompositePodGroupStatus;
}

export interface CompositePodGroupList extends TypeMeta {
  metadata: ListMeta;
  items: CompositePodGroup[];
}

export interface CompositePodGroupSpec {
  parentCompositePodGroupName?: string;
  workloadRef: WorkloadReference;
  schedulingPolicy: CompositePodGroupSchedulingPolicy;
  schedulingConstraints?: CompositePodGroupSchedulingConstraints;
  disruptionMode?: CompositeDisruptionMode;
  priorityClassName?: string;
  priority?: number;
  preemptionPolicy?: PreemptionPolicy;
}

export interface CompositePodGroupSchedulingPolicy {
  basic?: CompositeBasicSchedulingPolicy;
  gang?: CompositeGangSchedulingPolicy;
}

export interface CompositeBasicSchedulingPolicy {
}

export interface CompositeGangSchedulingPolicy {
  minGroupCount: number;
}

export interface CompositeDisruptionMode {
  single?: SingleCompositeDisruptionMode;
  all?: AllCompositeDisruptionMode;
}

export interface SingleCompositeDisruptionMode {
}

export interface AllCompositeDisruptionMode {
}

export interface CompositePodGroupStatus {
  conditions?: Condition[];
}

export interface CompositePodGroupSchedulingConstraints {
  topology?: TopologyConstraint[];
}
