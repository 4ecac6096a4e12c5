// Made by tools/gen-kubernetes.ts; do not edit.
import type { PreemptionPolicy } from "./core-v1.ts";
import type { ListMeta, ObjectMeta, TypeMeta } from "./meta-v1.ts";

export interface PriorityClass extends TypeMeta {
  metadata: ObjectMeta;
  value?: number;
  globalDefault?: boolean;
  description?: string;
  preemptionPolicy?: PreemptionPolicy;
}

export interface PriorityClassList extends TypeMeta {
  metadata: ListMeta;
  items: PriorityClass[];
}
