import type { Digest } from "../digest.ts";
import type { LayerSnapshot } from "../snapshots/snapshotter.ts";
import { codeOf } from "@tripod/base";
import { chainIdsOf } from "../spec/image-config.ts";
import { blobProblem, type CheckOptions, shownName } from "./verify-blobs.ts";
import type { Store } from "./store.ts";
import type { Damage } from "./verify-store.ts";
import { unpackOnce } from "./unpack-whole.ts";
import type { Descriptor } from "../spec/descriptor.ts";

/** A layer that an image needs, and what it is made of. */
interface NeededLayer {
  readonly chainId: Digest;
  readonly diffId: Digest;
  readonly blob: Descriptor;
  /** Chain ids of the layers below, topmost first. */
  readonly below: readonly Digest[];
  readonly images: string[];
}

/**
 * Looks at the unpacked layers that images need. One that is not there is no damage while its blob is: it is unpacked when it is used. One
 * that has not as many files and bytes as it was unpacked with is unpacked again beside it, and compared.
 */
export async function checkLayers(
  store: Store,
  { images, lease, signal, deep }: CheckOptions & { readonly deep: boolean },
): Promise<{ readonly count: number; readonly files: number; readonly damaged: readonly Damage[] }> {
  const needed = new Map<Digest, NeededLayer>();
  for (const image of images) {
    const chains = chainIdsOf(image.config.rootfs.diff_ids);
    for (const [index, chainId] of chains.entries()) {
      const [diffId, blob] = [image.config.rootfs.diff_ids[index], image.layers[index]];
      if (diffId === undefined || blob === undefined) continue;
      const known = needed.get(chainId);
      if (known !== undefined) known.images.push(shownName(image));
      else {
        const below = chains.slice(0, index).toReversed();
        needed.set(chainId, { chainId, diffId, blob, below, images: [shownName(image)] });
      }
    }
  }
  lease.hold([], [...needed.keys()]);
  const damaged: Damage[] = [];
  let [count, files] = [0, 0];
  for (const layer of needed.values()) {
    const found = store.snapshotter.layer(layer.chainId);
    if (found === undefined) continue;
    count += 1;
    files += found.inodes;
    const problem = await layerProblem(store, { layer, found, deep, signal });
    if (problem !== undefined) {
      damaged.push({ kind: "layer", digest: layer.chainId, images: layer.images, problem });
    }
  }
  return { count, files, damaged };
}

async function layerProblem(
  store: Store,
  {
    layer,
    found,
    deep,
    signal,
  }: {
    readonly layer: NeededLayer;
    readonly found: LayerSnapshot;
    readonly deep: boolean;
    readonly signal: AbortSignal;
  },
): Promise<string | undefined> {
  const { bytes, inodes } = await store.workers.measure(found.dir, signal).catch((error: unknown) => {
    if (codeOf(error) === "cancelled") throw error;
    return { bytes: -1, inodes: -1 }; // it cannot even be walked
  });
  const counted = bytes === found.bytes && inodes === found.inodes;
  if (counted && !deep) return undefined;
  const numbers = `has ${inodes} files with ${bytes} bytes, was unpacked with ${found.inodes} and ${found.bytes}`;
  if ((await blobProblem(store, layer.blob.digest, signal)) !== undefined) return counted ? undefined : numbers;
  const { blob, diffId, below } = layer;
  await using fresh = await unpackOnce(store, { layer: blob, diffId, signal });
  const lowerDirs = below.flatMap((id) => store.snapshotter.layer(id)?.dir ?? []);
  await store.workers.settle({ dir: fresh.draft.dir, implied: fresh.contents.implied, lowerDirs }, signal);
  const differences = await store.workers.compare(fresh.draft.dir, found.dir, signal);
  return differences.length === 0 ? undefined : `is not what it was unpacked as: ${differences.join("; ")}`;
}
