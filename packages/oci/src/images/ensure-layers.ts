import { failpoint } from "@tripod/base";
import { withSpan } from "@tripod/trace";
import { type Digest, hexOf } from "../digest.ts";
import type { OnProgress } from "../image.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { chainIdsOf } from "../spec/image-config.ts";
import type { Store } from "./store.ts";
import { unpackWhole } from "./unpack-whole.ts";

export interface EnsureLayersOptions {
  /** Bottom first, as many as there are diff ids. */
  readonly layers: readonly Descriptor[];
  readonly diffIds: readonly Digest[];
  /** Makes sure that a layer's blob is in the content store. */
  readonly ensureBlob: (layer: Descriptor) => Promise<void>;
  readonly signal: AbortSignal;
  readonly onProgress?: OnProgress | undefined;
}

/**
 * Unpacks the layers that are not unpacked yet. Each begins as soon as its own blob is there; they become layers bottom first.
 * Layers that another operation, of this or another process, is unpacking are waited for.
 */
export async function ensureLayers(store: Store, options: EnsureLayersOptions): Promise<void> {
  const chainIds = chainIdsOf(options.diffIds);
  const top = chainIds.length - 1;
  if (top >= 0) await ensureLayer(store, top, { ...options, chainIds });
}

type LayerOptions = EnsureLayersOptions & { readonly chainIds: readonly Digest[] };

async function ensureLayer(store: Store, index: number, options: LayerOptions): Promise<void> {
  const { layers, diffIds, chainIds, signal } = options;
  const [layer, diffId, chainId, parent] = [layers[index], diffIds[index], chainIds[index], chainIds[index - 1]];
  if (layer === undefined || diffId === undefined || chainId === undefined) return;
  const tell = (state: "unpacking" | "done"): void =>
    options.onProgress?.({ digest: layer.digest, sizeBytes: layer.size, doneBytes: layer.size, state });
  await store.layerWork.run(chainId, () => unpack(), signal);
  tell("done");

  async function unpack(): Promise<void> {
    if (layer === undefined || diffId === undefined || chainId === undefined) return;
    // Bottom layers first in every queue; a failure below shows only once it is awaited.
    const below = parent === undefined ? Promise.resolve() : ensureLayer(store, index - 1, options);
    below.catch(() => undefined);
    if (store.snapshotter.layer(chainId) === undefined) {
      // Before the lock: who holds one is not held up by a download.
      await options.ensureBlob(layer);
      await using _lock = await store.layerLocks.hold(hexOf(chainId), signal);
      if (store.snapshotter.layer(chainId) === undefined) {
        tell("unpacking");
        await withSpan("oci unpack layer", { digest: layer.digest, sizeBytes: layer.size }, async (span) => {
          await using unpacked = await unpackWhole(store, { layer, diffId, signal, ensureBlob: options.ensureBlob });
          const { draft, contents } = unpacked;
          failpoint("oci.layer.unpacked");
          await below;
          const lowerDirs = chainIds
            .slice(0, index)
            .toReversed()
            .flatMap((id) => store.snapshotter.layer(id)?.dir ?? []);
          await store.workers.settle({ dir: draft.dir, implied: contents.implied, lowerDirs }, signal);
          const { bytes, inodes, opaqueRoot } = contents;
          span.set({ bytes, inodes });
          await draft.commit({ chainId, parent, bytes, inodes, opaqueRoot });
        });
      }
    }
    await below;
  }
}
