import { type Digest, digestOf } from "../digest.ts";
import type { Image, OnProgress } from "../image.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { chainIdsOf, type ImageConfig } from "../spec/image-config.ts";
import { mediaTypes } from "../spec/media-types.ts";
import { artifactConfig } from "../spec/artifact.ts";
import type { Manifest } from "../spec/manifest.ts";
import { needBlob } from "./ensure-blob.ts";
import { ensureLayers } from "./ensure-layers.ts";
import { imageOf, type ImageRecord } from "./image-records.ts";
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
  return recordAs(store, configDescriptor.digest, {
    record: { manifest, configDescriptor, config, layers, pinned: false },
    names: image.names,
  });
}

/** Records an artifact whose blobs are in the store. */
export async function recordArtifact(
  store: Store,
  artifact: {
    readonly lease: Lease;
    readonly type: string;
    readonly manifest: Manifest;
    readonly manifestBytes: Uint8Array;
    readonly names: readonly string[];
  },
): Promise<Image> {
  const { lease, manifest, manifestBytes, type } = artifact;
  const digest = digestOf(manifestBytes);
  lease.hold([digest]);
  await store.content.put(manifestBytes);
  return recordAs(store, digest, {
    record: {
      manifest: { mediaType: manifest.mediaType, digest, size: manifestBytes.byteLength },
      configDescriptor: manifest.config,
      config: artifactConfig,
      layers: manifest.layers,
      pinned: false,
      artifactType: type,
    },
    names: artifact.names,
  });
}

function recordAs(
  store: Store,
  id: Digest,
  { record, names }: { readonly record: ImageRecord; readonly names: readonly string[] },
): Image {
  store.records.put(id, record, new Map(names.map((name) => [name, { documents: [] }])));
  const all = store.records.names.entries().flatMap(([key, name]) => (name.imageId === id ? [key] : []));
  return imageOf(id, record, all);
}

const plain = ({ mediaType, digest, size, annotations }: Descriptor): Descriptor => ({
  mediaType,
  digest,
  size,
  ...(annotations !== undefined && { annotations }),
});
