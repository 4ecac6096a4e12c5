import { Limiter, TripodError } from "@tripod/base";
import { digestOf } from "../digest.ts";
import { Lease } from "../images/lease.ts";
import type { Store } from "../images/store.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { mediaTypes } from "../spec/media-types.ts";
import { formatPlatform } from "../spec/platform.ts";
import { copyContent, type CopyOptions, type Copied } from "./copy-image.ts";
import { parseCopyPlace } from "./copy-place.ts";
import { storeSource } from "./copy-source.ts";
import { openTarget } from "./copy-target.ts";

/**
 * Pushes images of this store, each of another platform, as one: an index that names them all. The same images give the same digest, in
 * whatever order they are named.
 */
export async function pushIndex(
  store: Store,
  names: readonly string[],
  to: string,
  { auth, signal: given, onProgress }: CopyOptions = {},
): Promise<Copied> {
  const what = `push ${names.join(", ")} to ${to}`;
  const place = parseCopyPlace(to);
  if (place.kind !== "registry" || place.reference.digest !== undefined)
    throw new TripodError("invalid", `${what}: give a name and tag in a registry`);
  const abort = new AbortController();
  const signal = given === undefined ? abort.signal : AbortSignal.any([given, abort.signal]);
  using lease = new Lease(store.records);
  using target = await openTarget(store, place, { auth: auth?.target, tag: undefined, signal, onProgress });
  const counts = { documents: 1, blobs: 0 };
  const entries = new Map<string, Descriptor>();
  for (const name of names) {
    const id = store.records.idOf(name);
    const image = id === undefined ? undefined : store.records.images.get(id);
    if (image === undefined)
      throw new TripodError("not-found", `${what}: no image ${name}; tripod image ls lists what there is`);
    const { os, architecture, variant } = image.config;
    const platform = { architecture, os, ...(variant !== undefined && { variant }) };
    const key = formatPlatform(platform);
    if (entries.has(key))
      throw new TripodError(
        "invalid",
        `${what}: two of them are for ${key}; name one image a platform (build --platform)`,
      );
    lease.hold([image.manifest.digest]);
    await using source = storeSource(store, image);
    const copying = { source, target, lease, abort, limiter: new Limiter(4) };
    const bytes = await copyContent(image.manifest, copying, counts);
    await target.manifest(image.manifest, bytes);
    const { mediaType, digest, size } = image.manifest;
    entries.set(key, { mediaType, digest, size, platform });
  }
  const manifests = [...entries].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry);
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }));
  const top = { mediaType: mediaTypes.ociIndex, digest: digestOf(bytes), size: bytes.length };
  return { target: await target.finish(top, bytes), digest: top.digest, mediaType: top.mediaType, ...counts };
}
