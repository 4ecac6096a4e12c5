import type {
  DeletionPolicy,
  KubernetesObject,
  ObjectReference,
  SecretReference,
  Stored,
  VolumeSnapshotError,
} from "@tripod/api/kubernetes";
import type { Informer, ResourceRef } from "@tripod/kube";
import type { CsiDriver } from "../csi/csi-drivers.ts";
import type { World } from "../world.ts";
import type { SnapshotAnnotations } from "./snapshot-names.ts";

/** What contents of one snapshot and of a group have in common. */
export interface Content extends KubernetesObject {
  spec: { driver: string; deletionPolicy: DeletionPolicy };
  status?: { readyToUse?: boolean; error?: VolumeSnapshotError };
}

/** What a call of a driver is made with. */
export interface Call {
  readonly driver: CsiDriver;
  readonly world: World;
  readonly signal: AbortSignal;
  /** The secrets of the class for the call, else those that the content was made with. */
  readonly secrets: (ofClass?: SecretReference) => Promise<Record<string, string>>;
}

/** One kind of content: how it is read, and what its driver is asked. */
export interface ContentKind<C extends Content> {
  /** Failpoints are called controllers.NAME.STEP. */
  readonly name: "snapshot-contents" | "group-snapshot-contents";
  readonly ref: ResourceRef<C>;
  /** What a content belongs to. */
  readonly owner: ResourceRef;
  readonly annotations: SnapshotAnnotations;
  readonly finalizer: string;
  /** Of Events. */
  readonly reasons: { readonly take: string; readonly look: string; readonly remove: string };
  contents(world: World): Informer<C>;
  owners(world: World): Pick<Informer<KubernetesObject>, "get" | "on">;
  classes(world: World): Pick<Informer<KubernetesObject>, "on">;
  classOf(content: C): string | undefined;
  referenceOf(content: C): ObjectReference;
  /** The storage is made for the content; else it was there before. */
  isMade(content: C): boolean;
  /** By what the driver knows it; undefined before it has said so. */
  handleOf(content: C): string | undefined;
  /** It is made and deleted with its group. */
  isMember(content: C): boolean;
  /** Whether the driver can be asked after what it has taken, by another call than the one that takes it. */
  canLook(driver: CsiDriver): boolean;
  /** Finds together what the driver is to be told. What is returned has it take the snapshot, and returns the status that the content gets. */
  take(content: Stored<C>, call: Call): Promise<() => Promise<NewStatus>>;
  /** Returns the status that the content gets. */
  look(content: Stored<C>, call: Call): Promise<NewStatus>;
  /** Deletes the storage. */
  remove(content: Stored<C>, call: Call): Promise<void>;
}

export interface NewStatus {
  readonly readyToUse: boolean;
  readonly [field: string]: unknown;
}
