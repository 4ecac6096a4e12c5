import { rm } from "node:fs/promises";
import type { Digest } from "../digest.ts";
import { tokenAlive } from "../snapshots/temporary-folders.ts";
import { chainIdsOf } from "../spec/image-config.ts";
import type { Store } from "./store.ts";

export interface GarbageReport {
  readonly blobs: number;
  readonly blobBytes: number;
  readonly layers: number;
  /** What the layers took, unpacked. */
  readonly layerBytes: number;
}

/** Partial downloads are kept for a later attempt, but not for ever. */
const ingestAgeMs = 24 * 3600 * 1000;

/**
 * Removes blobs and layers that no image, no container's root file system and no running operation of any process uses. What is
 * marked is taken out of place within one transaction, so that no lease can be taken in between.
 */
export async function collectGarbage(store: Store): Promise<GarbageReport> {
  const { records, content, snapshotter } = store;
  const { gone, chains, removal } = records.transaction(() => {
    const used = mark(store);
    snapshotter.lazy.release((chainId) => used.chains.has(chainId));
    const unused = snapshotter.layers().filter(({ chainId }) => !used.chains.has(chainId));
    return {
      gone: content.takeAway((digest) => used.blobs.has(digest)),
      chains: unused,
      removal: snapshotter.removeLayers(unused.map(({ chainId }) => chainId)),
    };
  });
  await removal;
  for (const path of gone.paths) await rm(path, { force: true });
  content.sweepIngests(ingestAgeMs);
  store.layerLocks.sweep();
  await snapshotter.sweep();
  await store.temporary.sweep();
  const layerBytes = chains.reduce((sum, layer) => sum + layer.bytes, 0);
  return { blobs: gone.paths.length, blobBytes: gone.bytes, layers: chains.length, layerBytes };
}

/** The blobs and layers that something uses, or would use if the images `without` were not on record. */
export function mark(
  { records }: Store,
  without: ReadonlySet<string> = new Set(),
): { blobs: Set<Digest>; chains: Set<Digest> } {
  const blobs = new Set<Digest>();
  const chains = new Set<Digest>();
  const add = <T>(set: Set<T>, items: Iterable<T>): void => {
    for (const item of items) set.add(item);
  };
  for (const [id, image] of records.images.entries()) {
    if (without.has(id)) continue;
    add(blobs, [image.manifest.digest, image.configDescriptor.digest, ...image.layers.map((layer) => layer.digest)]);
    add(chains, chainIdsOf(image.config.rootfs.diff_ids));
  }
  for (const [, name] of records.names.entries()) if (!without.has(name.imageId)) add(blobs, name.documents);
  for (const [, rootfs] of records.rootfs.entries()) add(chains, [...rootfs.layers, ...(rootfs.views ?? [])]);
  for (const [, mounted] of records.mounts.entries()) add(chains, mounted.layers);
  for (const [id, lease] of records.leases.entries()) {
    if (!tokenAlive(lease.owner)) records.leases.delete(id);
    else {
      add(blobs, lease.blobs);
      add(chains, lease.chains);
    }
  }
  return { blobs, chains };
}
