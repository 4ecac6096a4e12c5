import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  BlockMetadata,
  NodeGetStorageHealthResponse_StorageBackendHealthSchema,
  VolumeCapability,
  VolumeHealth_VolumeHealthEntrySchema,
} from "@tripod/api/csi";

/** A volume as its storage sees it. */
export interface StoredVolume {
  /** As callers name it: any string. */
  readonly volumeId: string;
  /** Names its file or folder: lower-case letters, digits and dashes alone. */
  readonly storageId: string;
  readonly capacityBytes: bigint;
  readonly accessType: "mount" | "block";
  /** The file system that it is made with; empty where the storage makes none. */
  readonly fsType: string;
  readonly parameters: Readonly<Record<string, string>>;
  readonly mutableParameters: Readonly<Record<string, string>>;
}

/** What a new volume holds at first. */
export type Content =
  | { readonly kind: "snapshot"; readonly storageId: string }
  | { readonly kind: "volume"; readonly volume: StoredVolume };

/** A snapshot that is to be taken. */
export interface SnapshotPlan {
  /** Names its file or folder. */
  readonly storageId: string;
  readonly volume: StoredVolume;
}

export interface Space {
  readonly totalBytes: bigint;
  readonly availableBytes: bigint;
}

/** How a volume is about to be shown. */
export interface OpenVolume {
  /** Where it was staged; empty for one that is not staged. */
  readonly stagingPath: string;
  readonly readonly: boolean;
}

export type HealthProblem = MessageInitShape<typeof VolumeHealth_VolumeHealthEntrySchema>;
export type StorageProblem = MessageInitShape<typeof NodeGetStorageHealthResponse_StorageBackendHealthSchema>;

/**
 * Where the volumes of a local driver (openLocalDriver) lie. Never two calls at a time for one volume. Every call may be cut short by a kill and is
 * then made again: what it finds half made it makes afresh.
 */
export interface VolumeStorage {
  /** Why it cannot serve `capability`; undefined when it can. */
  unsupported(capability: VolumeCapability): string | undefined;
  /** What is wrong with the parameters of a StorageClass; undefined when nothing is. */
  refusedParameters(parameters: Readonly<Record<string, string>>): string | undefined;
  /** The same for a VolumeAttributesClass; without it none are known. */
  refusedMutable?(parameters: Readonly<Record<string, string>>): string | undefined;
  /** The file system that a volume gets for which this one ("" for any) was asked; "" where the storage makes none. */
  fsTypeOf(asked: string): string;
  /** The least size of a volume. */
  leastBytes(volume: Pick<StoredVolume, "accessType" | "fsType">): bigint;
  space(): Promise<Space>;
  /** Called first: removes what is none of the volumes and snapshots of these names, as half made ones. */
  recover(known: ReadonlySet<string>): Promise<void>;

  /** Makes the volume, empty or with a content. Nothing is left of it when this fails. */
  make(volume: StoredVolume, content: Content | undefined): Promise<void>;
  remove(storageId: string): Promise<void>;
  /** Takes snapshots of several volumes, which hold what was in all of them at one moment. */
  takeSnapshots(plans: readonly SnapshotPlan[]): Promise<void>;
  removeSnapshot(storageId: string): Promise<void>;
  /** Makes room up to `volume.capacityBytes`; a file system in it may still have to grow on its node. */
  grow(volume: StoredVolume): Promise<void>;
  /** Puts `volume.mutableParameters` into effect where the volume is in use now. */
  modify?(volume: StoredVolume): Promise<void>;

  /** Makes the volume ready at a folder of this node, once for all who use it; without it volumes are published at once. */
  stage?(volume: StoredVolume, path: string, capability: VolumeCapability): Promise<void>;
  unstage?(volume: StoredVolume, path: string): Promise<void>;
  /** The folder, or the block device, that is bind-mounted where the volume is published. */
  open(volume: StoredVolume, options: OpenVolume): Promise<string>;
  /** Lets go of what open() made, when nobody on this node uses the volume any more. */
  close(volume: StoredVolume): Promise<void>;
  /** Whether what is mounted at `path` is this volume. */
  isShownAt(volume: StoredVolume, path: string): boolean;
  /** Lets the volume's users have all of its size, which it returns. Without it they have at once. */
  expandInUse?(volume: StoredVolume, path: string): Promise<bigint>;

  problems(volume: StoredVolume): Promise<HealthProblem[]>;
  storageProblems(): Promise<StorageProblem[]>;
  /** The ranges of a snapshot that hold data, or that differ from an older one; without it the driver has no SnapshotMetadata service. */
  ranges?(request: RangesRequest): AsyncIterable<Pick<BlockMetadata, "byteOffset" | "sizeBytes">>;
}

export interface RangesRequest {
  readonly storageId: string;
  /** An older snapshot to compare with. */
  readonly baseStorageId?: string;
  readonly startingOffset: bigint;
  readonly signal: AbortSignal;
}
