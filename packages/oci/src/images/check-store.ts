import { join } from "node:path";
import type { Digest } from "../digest.ts";
import { chainIdsOf } from "../spec/image-config.ts";
import { listMounts } from "./mounts.ts";
import type { Store } from "./store.ts";

/**
 * Looks after the store when a process opens it: drops what dead processes left, finds blobs that a power cut truncated. An image
 * whose layers are all unpacked runs without its blobs; one that has lost both is forgotten, so that the next pull mends it.
 */
export async function checkStore(
  store: Store,
  { keepDamaged = false }: { readonly keepDamaged?: boolean } = {},
): Promise<void> {
  const { content, snapshotter, records, layout, log } = store;
  await snapshotter.sweep();
  await store.temporary.sweep();
  listMounts(store); // forgets those that a reboot has taken off
  for (const key of snapshotter.writables()) {
    // A record is written before and deleted after its writable, so one without a record lost it in a power cut.
    if (records.rootfs.get(key) !== undefined) continue;
    log.warn({ container: key }, "a root file system that no record speaks of is removed");
    await snapshotter.removeWritable(key, { target: join(layout.containersDir, key, "rootfs") });
  }
  for (const [id, image] of keepDamaged ? [] : records.images.entries()) {
    const whole = new Map<string, boolean>();
    for (const blob of [image.manifest, image.configDescriptor, ...image.layers])
      whole.set(blob.digest, await content.has(blob));
    const chains = chainIdsOf(image.config.rootfs.diff_ids);
    // What a living process serves is on its way.
    for (const [index, layer] of image.layers.entries()) {
      const chainId = chains[index];
      if (chainId !== undefined && snapshotter.lazy.layer(chainId) !== undefined) whole.set(layer.digest, true);
    }
    const lost = image.layers.filter(
      (layer, index) =>
        whole.get(layer.digest) !== true && snapshotter.layer(chains[index] ?? image.manifest.digest) === undefined,
    );
    const damaged = [...whole].flatMap(([digest, there]) => (there ? [] : [digest]));
    if (damaged.length > 0)
      log.warn(
        { image: id, blobs: damaged },
        "blobs of an image are lost or truncated; its next pull fetches them again",
      );
    if (lost.length > 0) {
      log.warn({ image: id }, "an image has lost layers and is forgotten until it is pulled again");
      records.delete(id as Digest); // the table's keys are digests
    }
  }
  records.publish();
}
