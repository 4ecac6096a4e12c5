// Made by tools/gen-kubernetes.ts; do not edit.
import type { LabelSelector, ListMeta, ObjectMeta, TypeMeta } from "./meta-v1.ts";

export interface PolicyRule {
  verbs: string[];
  apiGroups?: string[];
  resources?: string[];
  resourceNames?: string[];
  nonResourceURLs?: string[];
}

export interface Subject {
  kind: string;
  apiGroup?: string;
  name: string;
  namespace?: string;
}

export interface RoleRef {
  apiGroup?: string;
  kind: string;
  name: string;
}

export interface Role extends TypeMeta {
  metadata: ObjectMeta;
  rules?: PolicyRule[];
}

export interface RoleBinding extends TypeMeta {
  metadata: ObjectMeta;
  subjects?: Subject[];
  roleRef: RoleRef;
}

export interface RoleBindingList extends TypeMeta {
  metadata: ListMeta;
  items: RoleBinding[];
}

export interface RoleList extends TypeMeta {
  metadata: ListMeta;
  items: Role[];
}

export interface ClusterRole extends TypeMeta {
  metadata: ObjectMeta;
  rules?: PolicyRule[];
  aggregationRule?: AggregationRule;
}

export interface AggregationRule {
  clusterRoleSelectors?: LabelSelector[];
}

export interface ClusterRoleBinding extends TypeMeta {
  metadata: ObjectMeta;
  subjects?: Subject[];
  roleRef: RoleRef;
}

export interface ClusterRoleBindingList extends TypeMeta {
  metadata: ListMeta;
  items: ClusterRoleBinding[];
}

export interface ClusterRoleList extends TypeMeta {
  metadata: ListMeta;
  items: ClusterRole[];
}
