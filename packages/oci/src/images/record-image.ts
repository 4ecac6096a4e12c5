import { digestOf } from "../digest.ts";
import type { Image, OnProgress } from "../image.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { chainIdsOf, type ImageConfig } from "../spec/image-config.ts";
import { mediaTypes } from "../spec/media-types.ts";
import { needBlob } from "./ensure-blob.ts";
import { ensureLayers } from "./ensure-layers.ts";
import { imageOf } from "./image-records.ts";
import type { Lease } from "./lease.ts";
import type { Store } from "./store.ts";

export interface NewImage {
  /** Holds the layers' blobs, which are in the store. */
  readonly lease: Lease;
  readonly configBytes: Uint8Array;
  /** The config, parsed. */
  readonly config: ImageConfig;
  /** Bottom first. */
  readonly layers: readonly Descriptor[];
  /** The manifest as it came; one is made when there is none. */
  readonly manifest?: { readonly bytes: Uint8Array; readonly mediaType: string; readonly configType: string };
  /** "host/repository:tag" each; these come to mean this image. */
  readonly names: readonly string[];
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** Unpacks an image whose layers are in the store, and records it. */
export async function recordImage(store: Store, image: NewImage): Promise<Image> {
  const { lease, configBytes, config, layers } = image;
  const configDescriptor: Descriptor = {
    mediaType: image.manifest?.configType ?? mediaTypes.ociConfig,
    digest: digestOf(configBytes),
    size: configBytes.byteLength,
  };
  const mediaType = image.manifest?.mediaType ?? mediaTypes.ociManifest;
  const manifestBytes =
    image.manifest?.bytes ??
    Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config: configDescriptor, layers: layers.map(plain) }));
  const manifest: Descriptor = { mediaType, digest: digestOf(manifestBytes), size: manifestBytes.byteLength };
  const chains = chainIdsOf(config.rootfs.diff_ids);
  lease.hold([configDescriptor.digest, manifest.digest], chains);
  await store.content.put(configBytes);
  await store.content.put(manifestBytes);
  await ensureLayers(store, {
    layers,
    diffIds: config.rootfs.diff_ids,
    ensureBlob: (layer) => needBlob(store, layer),
    signal: image.signal ?? new AbortController().signal,
    onProgress: image.onProgress,
  });
  const id = configDescriptor.digest;
  const record = { manifest, configDescriptor, config, layers, pinned: false };
  store.records.put(id, record, new Map(image.names.map((name) => [name, { documents: [] }])));
  return imageOf(
    id,
    record,
    store.records.names.entries().flatMap(([key, name]) => (name.imageId === id ? [key] : [])),
  );
}

const plain = ({ mediaType, digest, size, annotations }: Descriptor): Descriptor => ({
  mediaType,
  digest,
  size,
  ...(annotations !== undefined && { annotations }),
});
