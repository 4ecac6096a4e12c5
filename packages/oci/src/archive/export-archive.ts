import { createReadStream } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { randomHex, TripodError } from "@tripod/base";
import { withSpan } from "@tripod/trace";
import { type Digest, hexOf } from "../digest.ts";
import type { Image } from "../image.ts";
import { imageOf } from "../images/image-records.ts";
import { Lease } from "../images/lease.ts";
import type { Store } from "../images/store.ts";
import { formatReference, parseReference } from "../reference.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { layoutIndex, layoutMarker } from "./layout-index.ts";
import { encodeTarHeader, plainEntry, tarEnd, tarPadding } from "../tar/tar-header.ts";

export interface ExportOptions {
  readonly signal?: AbortSignal;
}

/**
 * Writes images as one archive that both worlds read: an OCI layout with docker's manifest.json beside it (as docker itself writes
 * since version 25). The same images give the same bytes. `target`: a path, replaced whole or not at all, or a stream.
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
    for (const { image, config } of images) {
      for (const blob of [image.manifest, config, ...image.layers]) {
        if (await store.content.has(blob)) continue;
        throw new TripodError(
          "failed-precondition",
          `export ${image.id}: blob ${blob.digest} is lost; pull the image again`,
        );
      }
    }
    const { signal, target } = options;
    const signalOption = signal === undefined ? {} : { signal };
    if (typeof target !== "string") {
      await pipeline(Readable.from(archive(store, images)), target, { ...signalOption, end: false });
      return;
    }
    const temporary = `${target}.${randomHex(4)}.tmp`;
    try {
      await using file = await open(temporary, "wx", 0o644);
      await file.writeFile(archive(store, images), signalOption);
      await file.sync();
      await rename(temporary, target);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  });
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

const member = (digest: Digest): string => `blobs/sha256/${hexOf(digest)}`;

async function* archive(store: Store, images: readonly Exported[]): AsyncGenerator<Buffer> {
  const blobs = new Map<Digest, Descriptor>();
  for (const { image, config } of images)
    for (const blob of [image.manifest, config, ...image.layers]) blobs.set(blob.digest, blob);
  const index = layoutIndex(images, (tag) => tag.slice(tag.lastIndexOf(":") + 1));
  // Docker knows no artifacts.
  const runnable = images.filter(({ image }) => image.artifact === undefined);
  const docker = runnable.map(({ image, config, tags }) => ({
    Config: member(config.digest),
    RepoTags: tags,
    Layers: image.layers.map((layer) => member(layer.digest)),
  }));
  for (const folder of ["blobs/", "blobs/sha256/"])
    yield encodeTarHeader(plainEntry(folder, 0, { type: "directory", mode: 0o755 }));
  for (const blob of [...blobs.values()].toSorted((a, b) => (a.digest < b.digest ? -1 : 1))) {
    yield encodeTarHeader(plainEntry(member(blob.digest), blob.size));
    if (blob.size > 0) {
      // A stream without an encoding yields Buffers.
      yield* createReadStream(store.content.pathOf(blob.digest), {
        highWaterMark: 256 * 1024,
      }) as AsyncIterable<Buffer>;
    }
    yield tarPadding(blob.size);
  }
  for (const [name, document] of [
    ["index.json", index],
    ["manifest.json", docker],
    ["oci-layout", layoutMarker],
  ] as const) {
    const bytes = Buffer.from(JSON.stringify(document));
    yield encodeTarHeader(plainEntry(name, bytes.length));
    yield Buffer.concat([bytes, tarPadding(bytes.length)]);
  }
  yield tarEnd();
}
