import { isTripodError, messageOf, TripodError } from "@tripod/base";
import { withSpan } from "@tripod/trace";
import type { Digest } from "../digest.ts";
import type { Image, PullOptions } from "../image.ts";
import { formatReference, parseReference, repositoryOf, tagReferenceOf } from "../reference.ts";
import { loadHosts } from "../registry/hosts-file.ts";
import { RegistryClient } from "../registry/registry-client.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { chainIdsOf, parseImageConfig } from "../spec/image-config.ts";
import {
  checkRunnable,
  chooseManifest,
  type Manifest,
  maxConfigBytes,
  maxManifestBytes,
  parseManifest,
} from "../spec/manifest.ts";
import { parsePlatform, type Platform } from "../spec/platform.ts";
import { ensureBlob } from "./ensure-blob.ts";
import { ensureLayers } from "./ensure-layers.ts";
import { imageOf } from "./image-records.ts";
import { Lease } from "./lease.ts";
import type { Store } from "./store.ts";

/** Indexes in indexes deeper than this are refused. */
const maxNesting = 4;

/** Fetches what is missing of an image, unpacks it, and records it under the name that was asked for. */
export async function pullImage(store: Store, name: string, options: PullOptions): Promise<Image> {
  const reference = parseReference(name);
  const whole = formatReference(reference);
  return withSpan("oci pull", { image: whole, platform: options.platform }, async () => {
    // One layer's failure ends the others' work.
    const abort = new AbortController();
    const signal = options.signal === undefined ? abort.signal : AbortSignal.any([options.signal, abort.signal]);
    try {
      const hosts = await loadHosts(store.layout.certsDir, reference.host);
      using client = new RegistryClient({ reference, hosts, auth: options.auth, signal });
      using lease = new Lease(store.records);
      const target = reference.digest ?? (await client.resolve(reference.tag ?? "latest")).digest;
      const found = await resolveManifest(store, {
        client,
        lease,
        target,
        platform: parsePlatform(options.platform),
        whole,
      });
      const { manifest, descriptor } = found;
      checkRunnable(manifest, whole);
      const { digest: id } = manifest.config;
      if (manifest.config.size > maxConfigBytes)
        throw new TripodError("invalid", `${whole}: its config of ${manifest.config.size} bytes is too large`);
      lease.hold([id, ...manifest.layers.map((layer) => layer.digest)]);
      await ensureBlob(store, manifest.config, { client, signal });
      const configBytes = await store.content.read(id, maxConfigBytes);
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
      const fetch = (layer: Descriptor): Promise<void> =>
        ensureBlob(store, layer, { client, signal, onProgress: options.onProgress });
      await allOrAbort(abort, [
        ...manifest.layers.map(fetch),
        ensureLayers(store, {
          layers: manifest.layers,
          diffIds,
          ensureBlob: (layer) => fetch(layer),
          signal,
          onProgress: options.onProgress,
        }),
      ]);
      const tag = tagReferenceOf(reference);
      const names = new Map([[`${repositoryOf(reference)}@${target}`, found.documents]]);
      // With a digest the tag was not looked up, so nothing is known about it.
      if (tag !== undefined && reference.digest === undefined) names.set(tag, found.documents);
      store.records.put(
        id,
        { manifest: descriptor, configDescriptor: manifest.config, config, layers: manifest.layers, pinned: false },
        names,
      );
      const image = store.records.images.get(id);
      if (image === undefined) throw new TripodError("aborted", `${whole}: was removed while it was pulled`);
      const all = store.records.names.entries().flatMap(([key, record]) => (record.imageId === id ? [key] : []));
      return imageOf(id, image, all);
    } catch (error) {
      if (options.signal?.aborted === true)
        throw new TripodError("cancelled", `pull ${whole}: cancelled`, { cause: error });
      if (!isTripodError(error))
        throw new TripodError("internal", `pull ${whole}: ${messageOf(error)}`, { cause: error });
      throw new TripodError(error.code, `pull ${whole}: ${error.message}`, { cause: error, detail: error.detail });
    }
  });
}

interface ResolveOptions {
  readonly client: RegistryClient;
  readonly lease: Lease;
  readonly target: Digest;
  readonly platform: Platform;
  readonly whole: string;
}

/** Goes from the target through indexes to the manifest for the platform; all documents are in the store then. */
async function resolveManifest(
  store: Store,
  { client, lease, target, platform, whole }: ResolveOptions,
): Promise<{ manifest: Manifest; descriptor: Descriptor; documents: Digest[] }> {
  const documents: Digest[] = [];
  let digest = target;
  let type = "";
  for (let depth = 0; depth < maxNesting; depth += 1) {
    lease.hold([digest]);
    documents.push(digest);
    let bytes = await store.content.read(digest, maxManifestBytes);
    if (bytes === undefined) {
      const fetched = await client.manifest(digest);
      bytes = fetched.bytes;
      type ||= fetched.mediaType;
      await store.content.put(bytes);
    }
    const document = parseManifest(bytes, `${whole}: manifest ${digest}`, type);
    if (document.kind === "manifest") {
      return {
        manifest: document,
        descriptor: { mediaType: document.mediaType, digest, size: bytes.byteLength },
        documents,
      };
    }
    const chosen = chooseManifest(document, platform, whole);
    digest = chosen.digest;
    type = chosen.mediaType;
  }
  throw new TripodError("invalid", `${whole}: more than ${maxNesting} indexes are nested in one another`);
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
