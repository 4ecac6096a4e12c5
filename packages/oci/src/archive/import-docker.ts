import { TripodError } from "@tripod/base";
import { digestOf } from "../digest.ts";
import type { Image } from "../image.ts";
import { Lease } from "../images/lease.ts";
import { recordImage } from "../images/record-image.ts";
import type { Store } from "../images/store.ts";
import { parseReference, tagReferenceOf } from "../reference.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { parseImageConfig } from "../spec/image-config.ts";
import { arrayAt, objectAt, parseJson, stringAt, stringsAt } from "../spec/json.ts";
import { maxConfigBytes, maxManifestBytes } from "../spec/manifest.ts";
import { mediaTypes } from "../spec/media-types.ts";
import { compressionOf } from "../unpack/decompress.ts";
import type { ArchiveFolder } from "./archive-folder.ts";
import type { ImportOptions } from "./import-archive.ts";

/** Imports what `docker save` writes: manifest.json, configs, and layers as tars (plain or compressed). */
export async function importDocker(
  store: Store,
  folder: ArchiveFolder,
  options: ImportOptions & { readonly where: string },
): Promise<Image[]> {
  const { where } = options;
  const list = arrayAt(
    parseJson(await folder.read("manifest.json", maxManifestBytes), where),
    `${where}: manifest.json`,
    1000,
  );
  const images: Image[] = [];
  for (const [index, item] of list.entries()) {
    const at = `${where}: manifest.json[${index}]`;
    const object = objectAt(item, at);
    const configBytes = await folder.read(stringAt(object.Config, `${at}.Config`), maxConfigBytes);
    const config = parseImageConfig(configBytes, `${at}: config`);
    const members = stringsAt(object.Layers, `${at}.Layers`);
    if (members.length !== config.rootfs.diff_ids.length) {
      throw new TripodError(
        "invalid",
        `${at}: has ${members.length} layers, its config speaks of ${config.rootfs.diff_ids.length}`,
      );
    }
    using lease = new Lease(store.records);
    lease.hold([digestOf(configBytes)]);
    const layers: Descriptor[] = [];
    for (const member of members) layers.push(await storeLayer(store, lease, { folder, member, options }));
    const tags =
      options.name === undefined
        ? object.RepoTags == null
          ? []
          : stringsAt(object.RepoTags, `${at}.RepoTags`)
        : [options.name];
    const names = tags.flatMap((tag) => tagReferenceOf(parseReference(tag)) ?? []);
    images.push(
      await recordImage(store, {
        lease,
        configBytes,
        config,
        layers,
        names,
        signal: options.signal,
        onProgress: options.onProgress,
      }),
    );
  }
  return images;
}

async function storeLayer(
  store: Store,
  lease: Lease,
  {
    folder,
    member,
    options,
  }: { readonly folder: ArchiveFolder; readonly member: string; readonly options: ImportOptions },
): Promise<Descriptor> {
  await using writer = await store.content.writer();
  let start: Buffer | undefined;
  for await (const piece of folder.pieces(member)) {
    options.signal?.throwIfAborted();
    start ??= Buffer.from(piece.subarray(0, 4));
    await writer.write(piece);
  }
  const compression = compressionOf(start ?? Buffer.alloc(0));
  lease.hold([writer.identity().digest]);
  const { digest, size } = await writer.publish();
  options.onProgress?.({ digest, sizeBytes: size, doneBytes: size, state: "downloaded" });
  const types = { none: mediaTypes.ociLayer, gzip: mediaTypes.ociLayerGzip, zstd: mediaTypes.ociLayerZstd };
  return { mediaType: types[compression], digest, size };
}
