import { codeOf } from "@tripod/base";
import type { Digest } from "../digest.ts";
import type { LayerDraft } from "../snapshots/snapshotter.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import type { LayerContents } from "../unpack/layer-writer.ts";
import type { Store } from "./store.ts";

export interface UnpackWholeOptions {
  readonly layer: Descriptor;
  readonly diffId: Digest;
  readonly signal: AbortSignal;
  readonly ensureBlob: (layer: Descriptor) => Promise<void>;
}

export interface UnpackedDraft extends AsyncDisposable {
  readonly draft: LayerDraft;
  readonly contents: LayerContents;
}

/**
 * Unpacks a layer's blob into a draft. Where that fails because the blob is not any more what it was when it came in (a disk that lies,
 * memory that errs), it is fetched again, once.
 */
export async function unpackWhole(store: Store, options: UnpackWholeOptions): Promise<UnpackedDraft> {
  try {
    return await unpackOnce(store, options);
  } catch (error) {
    const { layer, signal } = options;
    if (signal.aborted || !["corrupt", "invalid", "internal"].includes(codeOf(error))) throw error;
    const found = await store.workers.digest(store.content.pathOf(layer.digest), signal);
    if (found?.digest === layer.digest) throw error; // the image itself is wrong
    if (found !== undefined) {
      store.log.warn(
        { layer: layer.digest, found: found.digest },
        "a layer's blob is damaged on the disk; it is fetched again",
      );
      await store.content.discard(layer.digest);
    }
    await options.ensureBlob(layer);
    return unpackOnce(store, options);
  }
}

/** Unpacks a layer's blob, which must be there, into a draft. */
export async function unpackOnce(
  store: Store,
  { layer, diffId, signal }: Omit<UnpackWholeOptions, "ensureBlob">,
): Promise<UnpackedDraft> {
  await using stack = new AsyncDisposableStack();
  const draft = stack.use(await store.snapshotter.draft());
  const blob = store.content.pathOf(layer.digest);
  const contents = await store.workers.unpack({ blob, dir: draft.dir, diffId, limits: store.limits }, signal);
  if (contents.refusedXattrs > 0) {
    store.log.warn(
      { layer: layer.digest, count: contents.refusedXattrs },
      "file system takes not all attributes of the layer",
    );
  }
  const kept = stack.move();
  return { draft, contents, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}
