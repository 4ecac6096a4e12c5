import { withSpan } from "@tripod/trace";
import type { Digest } from "../digest.ts";
import type { RegistryAuth } from "../image.ts";
import { checkBlobs } from "./verify-blobs.ts";
import { checkLayers } from "./verify-layers.ts";
import { Lease } from "./lease.ts";
import { repairImages } from "./repair-images.ts";
import type { Store } from "./store.ts";

export interface VerifyOptions {
  /** Compares unpacked layers with their blobs file by file; unless told, only the number and sizes of their files are looked at. */
  readonly deep?: boolean;
  /** Has what is damaged fetched and unpacked again. */
  readonly repair?: boolean;
  /** What to show the registry of an image that is repaired. */
  readonly authFor?: (reference: string) => RegistryAuth | undefined;
  readonly signal?: AbortSignal;
}

/** A blob, or an unpacked layer, that is not what it should be. */
export interface Damage {
  readonly kind: "blob" | "layer";
  /** A layer's is its chain id. */
  readonly digest: Digest;
  /** The names of the images that need it, or their ids; none when it only waits to be collected. */
  readonly images: readonly string[];
  readonly problem: string;
  /** Only where repair was asked for. */
  readonly repair?: { readonly done: true } | { readonly done: false; readonly why: string };
}

export interface VerifyReport {
  readonly images: number;
  /** Read whole, and compared with their digests. */
  readonly blobs: number;
  readonly blobBytes: number;
  /** Unpacked ones; how each was looked at, see VerifyOptions.deep. */
  readonly layers: number;
  readonly files: number;
  readonly damaged: readonly Damage[];
}

/** Looks at everything in the store; nothing changes unless it is to be repaired. Containers, pulls and other processes may be at work beside. */
export async function verifyStore(store: Store, options: VerifyOptions = {}): Promise<VerifyReport> {
  return withSpan("oci verify", {}, async () => {
    const signal = options.signal ?? new AbortController().signal;
    using lease = new Lease(store.records);
    const images = store.records.all();
    const blobs = await checkBlobs(store, { images, lease, signal });
    const layers = await checkLayers(store, { images, lease, signal, deep: options.deep === true });
    const found = [...blobs.damaged, ...layers.damaged];
    const damaged =
      options.repair === true ? await repairImages(store, found, { ...options, images, lease, signal }) : found;
    return {
      images: images.length,
      blobs: blobs.count,
      blobBytes: blobs.bytes,
      layers: layers.count,
      files: layers.files,
      damaged,
    };
  });
}
