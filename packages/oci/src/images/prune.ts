import { failpoint } from "@tripod/base";
import type { Digest } from "../digest.ts";
import { chainIdsOf } from "../spec/image-config.ts";
import { collectGarbage, mark } from "./collect-garbage.ts";
import type { ImageRecord } from "./image-records.ts";
import { listMounts } from "./mounts.ts";
import type { Store } from "./store.ts";

export interface PruneOptions {
  /** Every image that nothing uses; unless told, only those to which no tag leads. */
  readonly all?: boolean;
  /** Only images that came here before this, in milliseconds since 1970. */
  readonly untilMs?: number | undefined;
  /** Only images with each of these labels: "name" or "name=value". */
  readonly labels?: readonly string[];
  /** Say what would be removed, and remove nothing. */
  readonly dryRun?: boolean;
}

export interface PruneReport {
  readonly images: readonly { readonly id: Digest; readonly names: readonly string[] }[];
  /** Blobs and unpacked layers, with what nothing had used before. */
  readonly blobs: number;
  readonly layers: number;
  readonly freedBytes: number;
}

/**
 * Removes images that nothing uses: no container, no mount by hand; pinned ones stay. What is chosen is forgotten within one transaction, so
 * that no container of another process can come to use it in between.
 */
export async function pruneImages(store: Store, options: PruneOptions = {}): Promise<PruneReport> {
  const { records } = store;
  listMounts(store); // forgets those that are gone
  const { images, would } = records.transaction(() => {
    const chosen = choose(store, options);
    if (options.dryRun === true) return { images: chosen, would: freedWithout(store, chosen) };
    records.deleteWithin(chosen.map(({ id }) => id));
    return { images: chosen, would: undefined };
  });
  if (would !== undefined) return { images, ...would };
  failpoint("oci.prune.forgotten");
  const { blobs, layers, blobBytes, layerBytes } = await collectGarbage(store);
  return { images, blobs, layers, freedBytes: blobBytes + layerBytes };
}

function choose({ records }: Store, { all = false, untilMs, labels = [] }: PruneOptions): PruneReport["images"] {
  const rootfs = records.rootfs.entries().map(([, record]) => record);
  const mounts = records.mounts.entries().map(([, record]) => record);
  const used = new Set([...rootfs, ...mounts].map(({ imageId }) => imageId));
  const views = new Set(rootfs.flatMap((record) => record.views ?? []));
  const names = Map.groupBy(records.names.entries(), ([, { imageId }]) => imageId);
  return records.images.entries().flatMap(([key, image]) => {
    const id = key as Digest; // the table's keys are digests
    const own = (names.get(id) ?? []).map(([name]) => name);
    const top = chainIdsOf(image.config.rootfs.diff_ids).at(-1);
    if (image.pinned || used.has(id) || (top !== undefined && views.has(top))) return [];
    if (!all && own.some((name) => !name.includes("@"))) return [];
    if (untilMs !== undefined && (image.addedAtMs ?? 0) >= untilMs) return [];
    return labels.every((label) => hasLabel(image, label)) ? [{ id, names: own }] : [];
  });
}

function hasLabel({ config }: ImageRecord, label: string): boolean {
  const equals = label.indexOf("=");
  const found = config.config?.Labels?.[equals === -1 ? label : label.slice(0, equals)];
  return found !== undefined && (equals === -1 || found === label.slice(equals + 1));
}

function freedWithout(store: Store, images: PruneReport["images"]): Omit<PruneReport, "images"> {
  const used = mark(store, new Set(images.map(({ id }) => id)));
  const blobs = store.content.list().filter(({ digest }) => !used.blobs.has(digest));
  const layers = store.snapshotter.layers().filter(({ chainId }) => !used.chains.has(chainId));
  const bytes = blobs.reduce((sum, { size }) => sum + size, 0) + layers.reduce((sum, layer) => sum + layer.bytes, 0);
  return { blobs: blobs.length, layers: layers.length, freedBytes: bytes };
}
