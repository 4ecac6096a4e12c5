import { messageOf, TripodError } from "@tripod/base";
import type { Digest } from "../digest.ts";
import type { Image } from "../image.ts";
import { formatPlatform } from "../spec/platform.ts";
import { needBlob } from "./ensure-blob.ts";
import { ensureLayers } from "./ensure-layers.ts";
import { pullImage } from "./pull.ts";
import type { Store } from "./store.ts";
import { blobProblem, type CheckOptions, neededBlobs, shownName } from "./verify-blobs.ts";
import type { Damage, VerifyOptions } from "./verify-store.ts";

/** Takes what is damaged away and has each image that needs it made whole again: from its registry, or from blobs that are. */
export async function repairImages(
  store: Store,
  found: readonly Damage[],
  options: CheckOptions & VerifyOptions,
): Promise<Damage[]> {
  const { images, signal } = options;
  const inUse = new Map<Digest, string>();
  for (const damage of found) {
    if (damage.kind === "blob") await store.content.discard(damage.digest);
    else {
      const user = await takeLayerAway(store, damage.digest);
      if (user !== undefined) inUse.set(damage.digest, user);
    }
  }
  const failures = new Map<string, string>();
  const affected = new Set(found.flatMap((damage) => damage.images));
  for (const image of images) {
    const name = shownName(image);
    if (!affected.has(name)) continue;
    try {
      await makeWhole(store, image, options);
    } catch (error) {
      signal.throwIfAborted();
      failures.set(name, messageOf(error));
    }
  }
  const repaired: Damage[] = [];
  for (const damage of found) {
    const user = inUse.get(damage.digest);
    const why =
      user ??
      ((await isWhole(store, damage, signal))
        ? undefined
        : damage.images.flatMap((name) => failures.get(name) ?? []).join("; ") || "it is still damaged");
    repaired.push({ ...damage, repair: why === undefined ? { done: true } : { done: false, why } });
  }
  return repaired;
}

/** A layer below a mounted file system must not change: then nothing happens, and what is told is who uses it. */
async function takeLayerAway(store: Store, chainId: Digest): Promise<string | undefined> {
  const { records, snapshotter } = store;
  let removal: Promise<void> | undefined;
  const user = records.transaction(() => {
    for (const [id, { layers, views = [] }] of records.rootfs.entries()) {
      if (layers.includes(chainId) || views.includes(chainId))
        return `container ${id} uses it; remove that, then repair`;
    }
    for (const [target, { layers }] of records.mounts.entries()) {
      if (layers.includes(chainId)) return `it is mounted at ${target}; unmount that, then repair`;
    }
    removal = snapshotter.removeLayers([chainId]);
    return undefined;
  });
  await removal;
  return user;
}

async function makeWhole(store: Store, image: Image, { signal, authFor }: CheckOptions & VerifyOptions): Promise<void> {
  const lost = [];
  for (const digest of neededBlobs(store, image))
    if ((await store.content.sizeOf(digest)) === undefined) lost.push(digest);
  if (lost.length === 0) return unpack(store, image, signal);
  if (image.repoDigests.length === 0)
    throw new TripodError("failed-precondition", "it was built or imported here; build or import it again");
  const failures: unknown[] = [];
  for (const reference of image.repoDigests) {
    try {
      const auth = authFor?.(reference);
      const platform = image.artifact === undefined ? formatPlatform(image.config) : undefined;
      await pullImage(store, reference, {
        signal,
        ...(auth !== undefined && { auth }),
        ...(platform !== undefined && { platform }),
      });
      return;
    } catch (error) {
      signal.throwIfAborted();
      failures.push(error);
    }
  }
  throw failures[0];
}

const unpack = (store: Store, { layers, config }: Image, signal: AbortSignal): Promise<void> =>
  ensureLayers(store, {
    layers,
    diffIds: config.rootfs.diff_ids,
    signal,
    ensureBlob: (layer) => needBlob(store, layer),
  });

async function isWhole(store: Store, { kind, digest, images }: Damage, signal: AbortSignal): Promise<boolean> {
  if (images.length === 0) return true; // nobody needs it, and it is gone
  if (kind === "blob") return (await blobProblem(store, digest, signal)) === undefined;
  return store.snapshotter.layer(digest) !== undefined;
}
