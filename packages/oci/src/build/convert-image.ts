import { createHash } from "node:crypto";
import { TripodError } from "@tripod/base";
import { withSpan } from "@tripod/trace";
import type { Digest } from "../digest.ts";
import type { Image, OnProgress } from "../image.ts";
import { needBlob } from "../images/ensure-blob.ts";
import { Lease } from "../images/lease.ts";
import { recordImage } from "../images/record-image.ts";
import type { Store } from "../images/store.ts";
import { landmarkNames, tocName } from "../lazy/estargz-names.ts";
import { hasToc } from "../lazy/read-toc.ts";
import { parseReference, tagReferenceOf } from "../reference.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { parseImageConfig } from "../spec/image-config.ts";
import { objectAt, parseJson } from "../spec/json.ts";
import { maxConfigBytes } from "../spec/manifest.ts";
import { openDecompressed } from "../unpack/decompress.ts";
import type { LayerMember } from "./layer-tar.ts";
import { membersOfTar } from "./members-of-tar.ts";
import { estargzLayer, writeLayer } from "./write-layer.ts";

export interface ConvertOptions {
  /** The new image's name. */
  readonly tag: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: OnProgress;
}

/**
 * Makes an image whose containers can start before all of it is fetched: the same files, each layer in eStargz. Layers that can already stay as they
 * are. The digests are new ones, so signatures do not hold for it. The same image gives the same digests.
 */
export async function convertImage(store: Store, image: Image, options: ConvertOptions): Promise<Image> {
  return withSpan("oci convert", { image: image.id, tag: options.tag }, async () => {
    const what = `convert ${image.repoTags[0] ?? image.id}`;
    const name = tagReferenceOf(parseReference(options.tag));
    if (name === undefined) throw new TripodError("invalid", `${what}: ${options.tag} is a digest; give a name`);
    if (image.artifact !== undefined)
      throw new TripodError(
        "invalid",
        `${what}: it is an artifact (${image.artifact.type}), which has no layers of files`,
      );
    using lease = new Lease(store.records);
    lease.hold([image.id, ...image.layers.map(({ digest }) => digest)]);
    const layers: Descriptor[] = [];
    const diffIds: Digest[] = [];
    for (const [index, layer] of image.layers.entries()) {
      options.signal?.throwIfAborted();
      const diffId = image.config.rootfs.diff_ids[index];
      if (diffId === undefined) throw new TripodError("internal", `${what}: layer ${index} has no diff id`);
      await needBlob(store, layer);
      const made = hasToc(layer) ? { layer, diffId } : await convertLayer(store, lease, { layer, diffId, what });
      layers.push(made.layer);
      diffIds.push(made.diffId);
    }
    const configBytes = await configWith(store, image, { diffIds, what });
    return recordImage(store, {
      lease,
      config: parseImageConfig(configBytes, what),
      configBytes,
      layers,
      names: [name],
      signal: options.signal,
      onProgress: options.onProgress,
    });
  });
}

async function convertLayer(
  store: Store,
  lease: Lease,
  { layer, diffId, what }: { readonly layer: Descriptor; readonly diffId: Digest; readonly what: string },
): Promise<{ readonly layer: Descriptor; readonly diffId: Digest }> {
  const hash = createHash("sha256");
  const plain = await openDecompressed(store.content.pathOf(layer.digest));
  async function* hashed(): AsyncGenerator<Buffer> {
    for await (const piece of plain as AsyncIterable<Buffer>) {
      hash.update(piece); // a stream without an encoding yields Buffers
      yield piece;
    }
  }
  try {
    const made = await writeLayer(store, lease, estargzLayer(withoutToc(membersOfTar(hashed()))));
    const found: Digest = `sha256:${hash.digest("hex")}`;
    if (found === diffId) return made;
    throw new TripodError("corrupt", `${what}: layer ${layer.digest} holds ${found}, its config says ${diffId}`);
  } finally {
    plain.destroy();
  }
}

/** What an older table of contents left in an archive would be taken for the new one. */
async function* withoutToc(members: AsyncIterable<LayerMember>): AsyncGenerator<LayerMember> {
  for await (const member of members) {
    if (member.entry.name !== tocName && !landmarkNames.has(member.entry.name)) yield member;
  }
}

/** The config with other diff ids, and all else as it was. */
async function configWith(
  store: Store,
  image: Image,
  { diffIds, what }: { readonly diffIds: readonly Digest[]; readonly what: string },
): Promise<Buffer> {
  const bytes = await store.content.read(image.id, maxConfigBytes);
  if (bytes === undefined) throw new TripodError("failed-precondition", `${what}: its config is lost; pull it again`);
  const config = objectAt(parseJson(bytes, what), what);
  const rootfs = objectAt(config.rootfs, `${what}: rootfs`);
  return Buffer.from(JSON.stringify({ ...config, rootfs: { ...rootfs, diff_ids: diffIds } }));
}
