import { rm } from "node:fs/promises";
import type { Digest } from "../digest.ts";
import { tokenAlive } from "../snapshots/temporary-folders.ts";
import { chainIdsOf } from "../spec/image-config.ts";
import type { Store } from "./store.ts";

export interface GarbageReport {
  readonly blobs: number;
  readonly blobBytes: number;
  readonly layers: number;
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
    const unused = snapshotter.layers().flatMap(({ chainId }) => (used.chains.has(chainId) ? [] : [chainId]));
    return {
      gone: content.takeAway((digest) => used.blobs.has(digest)),
      chains: unused,
      removal: snapshotter.removeLayers(unused),
    };
  });
  await removal;
  for (const path of gone.paths) await rm(path, { force: true });
  content.sweepIngests(ingestAgeMs);
  store.layerLocks.sweep();
  await snapshotter.sweep();
  await store.temporary.sweep();
  return { blobs: gone.paths.length, blobBytes: gone.bytes, layers: chains.length };
}

function mark({ records }: Store): { blobs: Set<Digest>; chains: Set<Digest> } {
  const blobs = new Set<Digest>();
  const chains = new Set<Digest>();
  const add = <T>(set: Set<T>, items: Iterable<T>): void => {
    for (const item of items) set.add(item);
  };
  for (const [, image] of records.images.entries()) {
    add(blobs, [image.manifest.digest, image.configDescriptor.digest, ...image.layers.map((layer) => layer.digest)]);
    add(chains, chainIdsOf(image.config.rootfs.diff_ids));
  }
  for (const [, name] of records.names.entries()) add(blobs, name.documents);
  for (const [, rootfs] of records.rootfs.entries()) add(chains, [...rootfs.layers, ...(rootfs.views ?? [])]);
  for (const [id, lease] of records.leases.entries()) {
    if (!tokenAlive(lease.owner)) records.leases.delete(id);
    else {
      add(blobs, lease.blobs);
      add(chains, lease.chains);
    }
  }
  return { blobs, chains };
}
