import { stat } from "node:fs/promises";
import type { Writable } from "node:stream";
import { isNodeError, TripodError } from "@tripod/base";
import { withSpan } from "@tripod/trace";
import { type Digest, hexOf } from "../digest.ts";
import type { Image } from "../image.ts";
import { imageOf } from "../images/image-records.ts";
import { Lease } from "../images/lease.ts";
import type { Store } from "../images/store.ts";
import { formatReference, parseReference } from "../reference.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { LayoutFolder } from "./layout-folder.ts";
import { layoutEntries, layoutIndex, layoutMarker } from "./layout-index.ts";
import { layoutTar, writeArchive } from "./layout-tar.ts";

export interface ExportOptions {
  readonly signal?: AbortSignal;
}

/**
 * Writes images as one archive that both worlds read: an OCI layout with docker's manifest.json beside it (as docker itself writes
 * since version 25). The same images give the same bytes. `target`: a path, replaced whole or not at all; a stream; or a folder (one that is
 * there, or ends with a slash), which becomes an OCI layout, or is added to.
 */
export async function exportArchive(
  store: Store,
  names: readonly string[],
  options: ExportOptions & { readonly target: string | Writable },
): Promise<void> {
  await withSpan("oci export", { images: names }, async () => {
    using lease = new Lease(store.records);
    const images = names.map((name) => find(store, name));
    lease.hold(
      images.flatMap(({ image, config }) => [
        image.manifest.digest,
        config.digest,
        ...image.layers.map((layer) => layer.digest),
      ]),
    );
    for (const blob of blobsOf(images)) {
      if (await store.content.has(blob)) continue;
      const what = images.map(({ image }) => image.repoTags[0] ?? image.id).join(", ");
      throw new TripodError(
        "failed-precondition",
        `export ${what}: blob ${blob.digest} is lost; pull, import or build the image again`,
      );
    }
    const { signal, target } = options;
    if (typeof target === "string" && (target.endsWith("/") || (await isFolder(target))))
      await writeFolder(store, images, { dir: target, signal });
    else await writeArchive(archiveOf(store, images), target, signal);
  });
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return false;
    throw error;
  }
}

interface Exported {
  readonly image: Image;
  readonly config: Descriptor;
  /** The names under which it was asked for, or all its tags when it was asked for by id. */
  readonly tags: readonly string[];
}

function find(store: Store, name: string): Exported {
  const { records } = store;
  const id = records.idOf(name);
  const record = id === undefined ? undefined : records.images.get(id);
  if (id === undefined || record === undefined)
    throw new TripodError("not-found", `export: no image ${name}; tripod image ls lists what there is`);
  const image = imageOf(
    id,
    record,
    records.names.entries().flatMap(([key, { imageId }]) => (imageId === id ? [key] : [])),
  );
  const byId = id.slice(7).startsWith(name.replace(/^sha256:/, ""));
  return {
    image,
    config: record.configDescriptor,
    tags: byId ? image.repoTags : [formatReference(parseReference(name))].filter((tag) => !tag.includes("@")),
  };
}

const blobsOf = (images: readonly Exported[]): Descriptor[] => {
  const blobs = images.flatMap(({ image, config }) => [image.manifest, config, ...image.layers]);
  return [...new Map(blobs.map((blob) => [blob.digest, blob])).values()];
};

/** What a name is called in a layout: its tag; the whole name where several have that tag. */
function referenceIn(images: readonly Exported[]): (tag: string) => string {
  const shortOf = (tag: string): string => tag.slice(tag.lastIndexOf(":") + 1);
  const all = [...new Set(images.flatMap(({ tags }) => tags))];
  return (tag) => (all.filter((other) => shortOf(other) === shortOf(tag)).length > 1 ? tag : shortOf(tag));
}

function archiveOf(store: Store, images: readonly Exported[]): AsyncGenerator<Buffer> {
  const member = (digest: Digest): string => `blobs/sha256/${hexOf(digest)}`;
  // Docker knows no artifacts.
  const runnable = images.filter(({ image }) => image.artifact === undefined);
  const docker = runnable.map(({ image, config, tags }) => ({
    Config: member(config.digest),
    RepoTags: tags,
    Layers: image.layers.map((layer) => member(layer.digest)),
  }));
  const blobs = blobsOf(images).map(({ digest, size }) => ({ digest, size, content: store.content.pathOf(digest) }));
  return layoutTar(blobs, [
    ["index.json", layoutIndex(images, referenceIn(images))],
    ["manifest.json", docker],
    ["oci-layout", layoutMarker],
  ]);
}

async function writeFolder(
  store: Store,
  images: readonly Exported[],
  { dir, signal }: { readonly dir: string; readonly signal: AbortSignal | undefined },
): Promise<void> {
  const folder = await LayoutFolder.open(dir);
  for (const blob of blobsOf(images)) {
    signal?.throwIfAborted();
    if (!(await folder.has(blob))) await folder.take(blob, store.content.pathOf(blob.digest));
  }
  await folder.add(layoutEntries(images, referenceIn(images)));
}
