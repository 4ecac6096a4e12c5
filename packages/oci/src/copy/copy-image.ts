import { isTripodError, Limiter, messageOf, TripodError } from "@tripod/base";
import { withSpan } from "@tripod/trace";
import type { Digest } from "../digest.ts";
import type { OnProgress, RegistryAuth } from "../image.ts";
import { collectGarbage } from "../images/collect-garbage.ts";
import { Lease } from "../images/lease.ts";
import type { Store } from "../images/store.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { chooseManifest, parseManifest } from "../spec/manifest.ts";
import { parsePlatform } from "../spec/platform.ts";
import { formatCopyPlace, parseCopyPlace } from "./copy-place.ts";
import { type CopySource, openSource } from "./copy-source.ts";
import { type CopyTarget, openTarget } from "./copy-target.ts";

export interface CopyOptions {
  /** Everything that an index names, and the index itself; unless told, the image of one platform. */
  readonly all?: boolean;
  /** "os/arch[/variant]"; this machine's unless told. */
  readonly platform?: string | undefined;
  readonly auth?: { readonly source?: RegistryAuth | undefined; readonly target?: RegistryAuth | undefined };
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** What was copied: bytes and digests are those of the source. */
export interface Copied {
  /** "host/repository@digest", or the file's. */
  readonly target: string;
  readonly digest: Digest;
  readonly mediaType: string;
  /** Manifests and indexes, the top one with them. */
  readonly documents: number;
  readonly blobs: number;
}

const parallelBlobs = 4;
const maxNesting = 4;

/**
 * Copies an image between registries, OCI layouts and their archives, without unpacking it. Blobs go through the content store, so that what
 * a cut-off copy has fetched is kept; those that the target has, or can take over within its registry, are not fetched.
 */
export function copyImage(store: Store, from: string, to: string, options: CopyOptions = {}): Promise<Copied> {
  const source = parseCopyPlace(from);
  const target = parseCopyPlace(to);
  const what = `copy ${formatCopyPlace(source)} to ${formatCopyPlace(target)}`;
  return withSpan("oci copy", { from, to }, async () => {
    const abort = new AbortController();
    const signal = options.signal === undefined ? abort.signal : AbortSignal.any([options.signal, abort.signal]);
    const { auth = {}, onProgress } = options;
    try {
      const copied = await copy();
      await collectGarbage(store); // a cut-off copy keeps what it has fetched, for the next attempt
      return copied;
    } catch (error) {
      if (options.signal?.aborted === true) throw new TripodError("cancelled", `${what}: cancelled`, { cause: error });
      const known = isTripodError(error);
      const message = messageOf(error).startsWith("copy ") ? messageOf(error) : `${what}: ${messageOf(error)}`;
      throw new TripodError(known ? error.code : "internal", message, { cause: error });
    }

    async function copy(): Promise<Copied> {
      using lease = new Lease(store.records);
      await using origin = await openSource(store, source, { auth: auth.source, signal, onProgress });
      using place = await openTarget(store, target, {
        auth: auth.target,
        from: origin.repository,
        tag: origin.tag,
        signal,
        onProgress,
      });
      const top = options.all === true ? origin.top : await chosenOf(origin, options.platform);
      const copying = { source: origin, target: place, lease, abort, limiter: new Limiter(parallelBlobs) };
      const counts = { documents: 0, blobs: 0 };
      const bytes = await copyContent(top, copying, counts);
      const name = await place.finish(top, bytes);
      return { target: name, digest: top.digest, mediaType: top.mediaType, ...counts };
    }
  });
}

/** The manifest for a platform. */
async function chosenOf(source: CopySource, platform: string | undefined): Promise<Descriptor> {
  let descriptor = source.top;
  for (let depth = 0; depth < maxNesting; depth += 1) {
    const bytes = await source.document(descriptor);
    const document = parseManifest(bytes, `manifest ${descriptor.digest}`, descriptor.mediaType);
    if (document.kind === "manifest") return { ...descriptor, mediaType: document.mediaType };
    descriptor = chooseManifest(document, parsePlatform(platform), `index ${descriptor.digest}`);
  }
  throw new TripodError("invalid", `more than ${maxNesting} indexes are nested in one another`);
}

export interface Copying {
  readonly source: CopySource;
  readonly target: CopyTarget;
  readonly lease: Lease;
  /** Aborted when a part fails, so that the others end. */
  readonly abort: AbortController;
  readonly limiter: Limiter;
}

/** Copies all that a manifest or index names, not itself. Returns its bytes. */
export async function copyContent(
  top: Descriptor,
  copying: Copying,
  counts: { documents: number; blobs: number },
  depth = 0,
): Promise<Buffer> {
  if (depth >= maxNesting)
    throw new TripodError("invalid", `more than ${maxNesting} indexes are nested in one another`);
  const { source, target, lease, abort, limiter } = copying;
  const bytes = await source.document(top);
  const document = parseManifest(bytes, `manifest ${top.digest}`, top.mediaType);
  counts.documents += 1;
  if (document.kind === "index") {
    for (const child of document.manifests) {
      const content = await copyContent(child, copying, counts, depth + 1);
      await target.manifest(child, content);
    }
    return bytes;
  }
  const blobs = [...new Map([document.config, ...document.layers].map((blob) => [blob.digest, blob])).values()];
  lease.hold(blobs.map(({ digest }) => digest));
  const results = await Promise.allSettled(
    blobs.map((blob) =>
      limiter
        .run(() => target.blob(blob, () => source.ensure(blob)))
        .catch((error: unknown) => {
          abort.abort(error);
          throw error;
        }),
    ),
  );
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw abort.signal.aborted ? abort.signal.reason : failed.reason;
  counts.blobs += blobs.length;
  return bytes;
}
