// Made by tools/gen-kubernetes.ts; do not edit.
import type { GroupKind, ListMeta, ObjectMeta, TypeMeta } from "./meta-v1.ts";

export interface VolumePopulator extends TypeMeta {
  metadata: ObjectMeta;
  sourceKind: GroupKind;
}

export interface VolumePopulatorList extends TypeMeta {
  metadata: ListMeta;
  items: VolumePopulator[];
}
