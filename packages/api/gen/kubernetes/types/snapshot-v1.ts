// Made by tools/gen-kubernetes.ts; do not edit.
import type { ObjectReference, PersistentVolumeMode } from "./core-v1.ts";
import type { ListMeta, ObjectMeta, TypeMeta } from "./meta-v1.ts";
import type { Quantity, Time } from "./scalars.ts";

export interface VolumeSnapshot extends TypeMeta {
  metadata: ObjectMeta;
  spec: VolumeSnapshotSpec;
  status?: VolumeSnapshotStatus;
}

export interface VolumeSnapshotList extends TypeMeta {
  metadata: ListMeta;
  items: VolumeSnapshot[];
}

export interface VolumeSnapshotSpec {
  source: VolumeSnapshotSource;
  volumeSnapshotClassName?: string;
}

export interface VolumeSnapshotSource {
  persistentVolumeClaimName?: string;
  volumeSnapshotContentName?: string;
}

export interface VolumeSnapshotStatus {
  boundVolumeSnapshotContentName?: string;
  creationTime?: Time;
  readyToUse?: boolean;
  restoreSize?: Quantity;
  error?: VolumeSnapshotError;
  volumeGroupSnapshotName?: string;
}

export interface VolumeSnapshotClass extends TypeMeta {
  metadata: ObjectMeta;
  driver: string;
  parameters?: Record<string, string>;
  deletionPolicy: DeletionPolicy;
}

export interface VolumeSnapshotClassList extends TypeMeta {
  metadata: ListMeta;
  items: VolumeSnapshotClass[];
}

export interface VolumeSnapshotContent extends TypeMeta {
  metadata: ObjectMeta;
  spec: VolumeSnapshotContentSpec;
  status?: VolumeSnapshotContentStatus;
}

export interface VolumeSnapshotContentList extends TypeMeta {
  metadata: ListMeta;
  items: VolumeSnapshotContent[];
}

export interface VolumeSnapshotContentSpec {
  volumeSnapshotRef: ObjectReference;
  deletionPolicy: DeletionPolicy;
  driver: string;
  volumeSnapshotClassName?: string;
  source: VolumeSnapshotContentSource;
  sourceVolumeMode?: PersistentVolumeMode;
}

export interface VolumeSnapshotContentSource {
  volumeHandle?: string;
  snapshotHandle?: string;
}

export interface VolumeSnapshotContentStatus {
  snapshotHandle?: string;
  creationTime?: number;
  restoreSize?: number;
  readyToUse?: boolean;
  error?: VolumeSnapshotError;
  volumeGroupSnapshotHandle?: string;
}

export type DeletionPolicy = "Delete" | "Retain";

export interface VolumeSnapshotError {
  time?: Time;
  message?: string;
}
