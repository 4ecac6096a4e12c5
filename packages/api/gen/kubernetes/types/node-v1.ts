// Made by tools/gen-kubernetes.ts; do not edit.
import type { ResourceList, Toleration } from "./core-v1.ts";
import type { ListMeta, ObjectMeta, TypeMeta } from "./meta-v1.ts";

export interface RuntimeClass extends TypeMeta {
  metadata: ObjectMeta;
  handler: string;
  overhead?: Overhead;
  scheduling?: Scheduling;
}

export interface Overhead {
  podFixed?: ResourceList;
}

export interface Scheduling {
  nodeSelector?: Record<string, string>;
  tolerations?: Toleration[];
}

export interface RuntimeClassList extends TypeMeta {
  metadata: ListMeta;
  items: RuntimeClass[];
}
