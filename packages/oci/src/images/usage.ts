import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Digest } from "../digest.ts";
import { chainIdsOf } from "../spec/image-config.ts";
import { mark } from "./collect-garbage.ts";
import { listMounts } from "./mounts.ts";
import type { Store } from "./store.ts";

/** What one image takes. What is shared stays when it alone is removed. */
export interface ImageUsage {
  readonly id: Digest;
  readonly names: readonly string[];
  /** Blobs: compressed layers, config, manifest. */
  readonly blobBytes: number;
  readonly sharedBlobBytes: number;
  /** Layers, unpacked. */
  readonly unpackedBytes: number;
  readonly sharedUnpackedBytes: number;
  /** Containers whose root file system it is, by id. */
  readonly containers: readonly string[];
  /** Folders on which it is mounted by hand. */
  readonly mounts: readonly string[];
}

/** What the image store takes. */
export interface StoreUsage {
  readonly images: readonly ImageUsage[];
  /** All blobs and unpacked layers, each counted once. */
  readonly blobBytes: number;
  readonly unpackedBytes: number;
  /** What is kept of downloads that were cut off. */
  readonly partialBytes: number;
  /** Of all these, what nothing uses any more. */
  readonly unusedBytes: number;
}

/** Adds up what the images take, alone and together. */
export function usageOf(store: Store): StoreUsage {
  const { records, snapshotter, content } = store;
  const layers = new Map(snapshotter.layers().map((layer) => [layer.chainId, layer.bytes]));
  const blobs = new Map(content.list().map((blob) => [blob.digest, blob.size]));
  const parts = records.images.entries().map(([id, image]) => ({
    id,
    blobs: new Set([image.manifest, image.configDescriptor, ...image.layers].map(({ digest }) => digest)),
    chains: new Set(chainIdsOf(image.config.rootfs.diff_ids)),
  }));
  const users = new Map<Digest, number>();
  for (const part of parts)
    for (const digest of [...part.blobs].map(blobKey).concat([...part.chains]))
      users.set(digest, (users.get(digest) ?? 0) + 1);
  const names = Map.groupBy(records.names.entries(), ([, { imageId }]) => imageId);
  const rootfs = records.rootfs.entries();
  const mounts = listMounts(store);
  const images = parts.map((part): ImageUsage => {
    const id = part.id as Digest; // the table's keys are digests
    const sum = (digests: Iterable<Digest>, sizes: ReadonlyMap<Digest, number>): number =>
      [...digests].reduce((total, digest) => total + (sizes.get(digest) ?? 0), 0);
    const isShared = (key: Digest): boolean => (users.get(key) ?? 0) > 1;
    return {
      id,
      names: (names.get(id) ?? []).map(([name]) => name),
      blobBytes: sum(part.blobs, blobs),
      sharedBlobBytes: sum(
        [...part.blobs].filter((digest) => isShared(blobKey(digest))),
        blobs,
      ),
      unpackedBytes: sum(part.chains, layers),
      sharedUnpackedBytes: sum([...part.chains].filter(isShared), layers),
      containers: rootfs.flatMap(([containerId, { imageId }]) => (imageId === id ? [containerId] : [])),
      mounts: mounts.flatMap(({ imageId, target }) => (imageId === id ? [target] : [])),
    };
  });
  const used = mark(store);
  const total = (sizes: ReadonlyMap<Digest, number>, counts: (digest: Digest) => boolean = () => true): number =>
    [...sizes].reduce((sum, [digest, size]) => sum + (counts(digest) ? size : 0), 0);
  return {
    images,
    blobBytes: total(blobs),
    unpackedBytes: total(layers),
    partialBytes: partialBytes(join(store.layout.contentDir, "ingest")),
    unusedBytes:
      total(blobs, (digest) => !used.blobs.has(digest)) + total(layers, (digest) => !used.chains.has(digest)),
  };
}

/** A bottom layer's chain id is its diff id, which is an uncompressed blob's digest too: counted apart. */
const blobKey = (digest: Digest): Digest => `${digest}/blob`;

const partialBytes = (dir: string): number =>
  readdirSync(dir).reduce((sum, name) => sum + (statSync(join(dir, name), { throwIfNoEntry: false })?.size ?? 0), 0);
