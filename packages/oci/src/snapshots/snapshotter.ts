import type { IdMapping } from "@tripod/linux";
import type { Digest } from "../digest.ts";
import type { DiskUsage } from "../image.ts";

/**
 * A layer that is complete and never changes any more. Its name is its chain id, which says what it and all layers below it hold
 * (OCI image spec, config.md), so that two images which start alike share it.
 */
export interface LayerSnapshot extends DiskUsage {
  readonly chainId: Digest;
  /** The chain id of the layer below; undefined for a bottom layer. */
  readonly parent: Digest | undefined;
  /** Nothing of the layers below is to be seen. */
  readonly opaqueRoot: boolean;
  /** The folder that holds this layer's own files, in overlayfs's terms of whiteouts. It may be a mount of its own. */
  readonly dir: string;
}

/** What a draft becomes. */
export interface LayerFacts extends DiskUsage {
  readonly chainId: Digest;
  readonly parent: Digest | undefined;
  readonly opaqueRoot: boolean;
}

/** A folder that is being filled to become a layer; disposing of it before commit() removes it. */
export interface LayerDraft extends AsyncDisposable {
  /** Empty, and this draft's own. */
  readonly dir: string;
  /** Makes it a layer, all at once. When the layer exists already, the draft is dropped and that is no error. */
  commit(facts: LayerFacts): Promise<void>;
}

/** The user namespace in which a file system will be used: owners in layers, such as 0, show as that namespace's. */
export interface IdMap {
  /** Where it is pinned. */
  readonly userNamespace: string;
  readonly uids: IdMapping;
  readonly gids: IdMapping;
}

export interface WritableOptions {
  /** Chain ids, bottom first; may be empty. Each must be a layer. */
  readonly layers: readonly Digest[];
  /** The folder on which the file system appears; made when absent. */
  readonly target: string;
  readonly idMap?: IdMap;
}

export interface WritableLimit {
  /**
   * What may be written to it in all, with what a file system needs for itself (a few per cent): more is refused with ENOSPC or EDQUOT, and
   * never reaches the disk below. Less than 1 MiB is an invalid error. No limit unless told. Part of a key's first mountWritable(): later
   * calls repeat it.
   */
  readonly maxSizeBytes?: number;
}

/** Bytes and inodes that have been written to a writable. */
export interface WritableUsage extends DiskUsage {
  /** What of the layers stands in it as a copy of its own, and so takes room too; nothing where it is shared. */
  readonly copied: DiskUsage;
}

/** How layers show the owners of a user namespace: through id-mapped mounts, or by a copy whose owners are shifted. */
export type IdMapMethod = "mount" | "copy";

/**
 * Keeps unpacked layers, and stacks them to writable root file systems. Three things exist: *layers* (complete, read-only, by
 * chain id), *drafts* (being filled), *writables* (layers below, an own upper folder above, mounted; by a key that the caller
 * chooses). After kill -9 at any instant, drafts are gone, layers are whole or absent, writables can be mounted and removed again.
 * Every implementation must pass snapshotterConformance().
 */
export interface Snapshotter {
  layer(chainId: Digest): LayerSnapshot | undefined;
  layers(): LayerSnapshot[];
  draft(): Promise<LayerDraft>;
  /** Takes layers away before it returns; their disk space is free when what it returns settles. Absent ones are no error. */
  removeLayers(chainIds: readonly Digest[]): Promise<void>;
  /** Mounts the writable `key`, with what was written to it before if it existed; nothing when it is mounted already. */
  mountWritable(key: string, options: WritableOptions & WritableLimit): Promise<void>;
  /** Mounts layers read-only (nosuid, nodev) at `target`. The mount is the caller's; the writable `key` must outlive it. */
  mountView(key: string, options: WritableOptions): Promise<void>;
  /**
   * Unmounts the writable and takes it away; works however far making it had come. Its disk space may become free a little later.
   * Absent is no error.
   */
  removeWritable(key: string, options: { readonly target: string }): Promise<void>;
  writables(): string[];
  /** What has been written to the writable: whole files, where a part of one has. A not-found error when there is none. */
  writableUsage(key: string): Promise<WritableUsage>;
  /** The folder, in overlayfs's terms of whiteouts, that holds what was written to the writable and nothing else; undefined when there is none. */
  writtenFolder(key: string): string | undefined;
  /**
   * A place, there or not yet, for what the caller keeps beside the writable: what is put there counts toward its limit and goes with it.
   * Undefined for one without a limit.
   */
  limitedPlace(key: string): string | undefined;
  /** What all layers take, with what is kept of them to make writables and views faster. */
  layersUsage(): DiskUsage;
  /** How this snapshotter shows owners here; what `copy` costs is a copy of all layers for each writable and view. */
  idMapMethod(idMap: IdMap): Promise<IdMapMethod>;
}
