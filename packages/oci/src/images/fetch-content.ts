import { TripodError } from "@tripod/base";
import type { LazyPullOptions, OnProgress, RegistryAuth } from "../image.ts";
import { fetchLazily } from "../lazy/fetch-lazily.ts";
import type { RegistryClient } from "../registry/registry-client.ts";
import { artifactConfig, artifactFiles } from "../spec/artifact.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { chainIdsOf, type ImageConfig, parseImageConfig } from "../spec/image-config.ts";
import { checkRunnable, type Manifest, maxConfigBytes } from "../spec/manifest.ts";
import { ensureBlob } from "./ensure-blob.ts";
import { ensureLayers } from "./ensure-layers.ts";
import type { Lease } from "./lease.ts";
import type { Store } from "./store.ts";

export interface FetchOptions {
  readonly manifest: Manifest;
  readonly client: RegistryClient;
  /** Comes to hold what is fetched. */
  readonly lease: Lease;
  /** Aborted when a part fails, so that the others end; `signal` follows it. */
  readonly abort: AbortController;
  readonly signal: AbortSignal;
  /** The image's name, for messages. */
  readonly whole: string;
  readonly onProgress?: OnProgress | undefined;
  /** Who asks for layers that can be used before they are whole. */
  readonly lazy?: (LazyPullOptions & { readonly auth: RegistryAuth | undefined }) | undefined;
}

/** A container image's config, and why its layers were fetched whole although early ones were asked for. */
export interface FetchedImage {
  readonly config: ImageConfig;
  readonly wholeBecause?: string;
}

/** Brings the config and the layers of a container image into the store, unpacked, or has them served until they are. */
export async function fetchImage(store: Store, options: FetchOptions): Promise<FetchedImage> {
  const { manifest, client, lease, abort, signal, whole, onProgress } = options;
  checkRunnable(manifest, whole);
  const { digest: id } = manifest.config;
  if (manifest.config.size > maxConfigBytes)
    throw new TripodError("invalid", `${whole}: its config of ${manifest.config.size} bytes is too large`);
  lease.hold([id, ...manifest.layers.map((layer) => layer.digest)]);
  await ensureBlob(store, manifest.config, { client, signal });
  let configBytes = await store.content.read(id, maxConfigBytes);
  if (configBytes === undefined) {
    // It was there, of the right size, and damaged: reading has removed it.
    await ensureBlob(store, manifest.config, { client, signal });
    configBytes = await store.content.read(id, maxConfigBytes);
  }
  if (configBytes === undefined)
    throw new TripodError("aborted", `${whole}: config ${id} was damaged on the disk; try again`);
  const config = parseImageConfig(configBytes, `${whole}: config`);
  const diffIds = config.rootfs.diff_ids;
  if (diffIds.length !== manifest.layers.length) {
    throw new TripodError(
      "invalid",
      `${whole}: has ${manifest.layers.length} layers, its config speaks of ${diffIds.length}`,
    );
  }
  lease.hold([], chainIdsOf(diffIds));
  const { layers } = manifest;
  const fetch = (layer: Descriptor): Promise<void> => ensureBlob(store, layer, { client, signal, onProgress });
  const fetchWhole = (count: number): Promise<void> => {
    const [some, theirDiffIds] = [layers.slice(0, count), diffIds.slice(0, count)];
    return allOrAbort(abort, [
      ...some.map(fetch),
      ensureLayers(store, { layers: some, diffIds: theirDiffIds, ensureBlob: fetch, signal, onProgress }),
    ]);
  };
  const { lazy } = options;
  const wholeBecause =
    lazy === undefined
      ? undefined
      : await fetchLazily(store, { layers, diffIds, reference: whole, fetchWhole, signal, ...lazy });
  if (lazy !== undefined && wholeBecause === undefined) return { config };
  await fetchWhole(layers.length);
  return { config, ...(wholeBecause !== undefined && { wholeBecause }) };
}

/** Brings the blobs of an artifact into the store, as they are; its files are named inside a volume, or it is refused. */
export async function fetchArtifact(store: Store, options: FetchOptions): Promise<ImageConfig> {
  const { manifest, client, lease, abort, signal, whole, onProgress } = options;
  artifactFiles(manifest.layers, whole);
  const blobs = [manifest.config, ...manifest.layers];
  lease.hold(blobs.map((blob) => blob.digest));
  const unique = [...new Map(blobs.map((blob) => [blob.digest, blob])).values()];
  await allOrAbort(
    abort,
    unique.map((blob) => ensureBlob(store, blob, { client, signal, onProgress })),
  );
  return artifactConfig;
}

/** Waits for all; the first failure aborts the rest and is thrown once they have ended. */
async function allOrAbort(abort: AbortController, work: readonly Promise<void>[]): Promise<void> {
  let failure: { readonly error: unknown } | undefined;
  await Promise.all(
    work.map(async (promise) => {
      try {
        await promise;
      } catch (error) {
        failure ??= { error };
        abort.abort(error);
      }
    }),
  );
  if (failure !== undefined) throw failure.error;
}
