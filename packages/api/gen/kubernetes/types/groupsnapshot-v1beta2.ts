// Made by tools/gen-kubernetes.ts; do not edit.
import type { ObjectReference } from "./core-v1.ts";
import type { LabelSelector, ListMeta, ObjectMeta, TypeMeta } from "./meta-v1.ts";
import type { Time } from "./scalars.ts";
import type { DeletionPolicy, VolumeSnapshotError } from "./snapshot-v1.ts";

export interface VolumeGroupSnapshotSpec {
  source: VolumeGroupSnapshotSource;
  volumeGroupSnapshotClassName?: string;
}

export interface VolumeGroupSnapshotSource {
  selector?: LabelSelector;
  volumeGroupSnapshotContentName?: string;
}

export interface VolumeGroupSnapshotStatus {
  boundVolumeGroupSnapshotContentName?: string;
  creationTime?: Time;
  readyToUse?: boolean;
  error?: VolumeSnapshotError;
}

export interface VolumeGroupSnapshot extends TypeMeta {
  metadata: ObjectMeta;
  spec: VolumeGroupSnapshotSpec;
  status?: VolumeGroupSnapshotStatus;
}

export interface VolumeGroupSnapshotList extends TypeMeta {
  metadata: ListMeta;
  items: VolumeGroupSnapshot[];
}

export interface VolumeGroupSnapshotClass extends TypeMeta {
  metadata: ObjectMeta;
  driver: string;
  parameters?: Record<string, string>;
  deletionPolicy: DeletionPolicy;
}

export interface VolumeGroupSnapshotClassList extends TypeMeta {
  metadata: ListMeta;
  items: VolumeGroupSnapshotClass[];
}

export interface VolumeGroupSnapshotContent extends TypeMeta {
  metadata: ObjectMeta;
  spec: VolumeGroupSnapshotContentSpec;
  status?: VolumeGroupSnapshotContentStatus;
}

export interface VolumeGroupSnapshotContentList extends TypeMeta {
  metadata: ListMeta;
  items: VolumeGroupSnapshotContent[];
}

export interface VolumeGroupSnapshotContentSpec {
  volumeGroupSnapshotRef: ObjectReference;
  deletionPolicy: DeletionPolicy;
  driver: string;
  volumeGroupSnapshotClassName?: string;
  source: VolumeGroupSnapshotContentSource;
}

export interface VolumeSnapshotInfo {
  volumeHandle?: string;
  snapshotHandle?: string;
  creationTime?: number;
  readyToUse?: boolean;
  restoreSize?: number;
}

export interface VolumeGroupSnapshotContentStatus {
  volumeGroupSnapshotHandle?: string;
  creationTime?: Time;
  readyToUse?: boolean;
  error?: VolumeSnapshotError;
  volumeSnapshotInfoList?: VolumeSnapshotInfo[];
}

export interface VolumeGroupSnapshotContentSource {
  volumeHandles?: string[];
  groupSnapshotHandles?: GroupSnapshotHandles;
}

export interface GroupSnapshotHandles {
  volumeGroupSnapshotHandle: string;
  volumeSnapshotHandles: string[];
}

export interface VolumeSnapshotHandlePair {
  volumeHandle: string;
  snapshotHandle: string;
}
