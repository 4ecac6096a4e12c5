import { isTripodError, Limiter, messageOf, TripodError } from "@tripod/base";
import { withSpan } from "@tripod/trace";
import type { Digest } from "../digest.ts";
import type { OnProgress, RegistryAuth } from "../image.ts";
import { formatReference, parseReference, repositoryOf, tagReferenceOf } from "../reference.ts";
import { loadHosts } from "../registry/hosts-file.ts";
import { pushBlob } from "../registry/push-blob.ts";
import { pushManifest } from "../registry/push-document.ts";
import { RegistryClient } from "../registry/registry-client.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { maxManifestBytes } from "../spec/manifest.ts";
import { Lease } from "./lease.ts";
import type { Store } from "./store.ts";

export interface PushOptions {
  readonly auth?: RegistryAuth | undefined;
  /** Where to push it; the image's own name unless told. */
  readonly target?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

const parallelUploads = 4;

/** Pushes an image; layers that the registry has are not sent. Returns "host/repository@digest". */
export async function pushImage(store: Store, nameOrId: string, options: PushOptions = {}): Promise<string> {
  const id = store.records.idOf(nameOrId);
  const record = id === undefined ? undefined : store.records.images.get(id);
  if (id === undefined || record === undefined)
    throw new TripodError("not-found", `push ${nameOrId}: no such image; tripod image ls lists what there is`);
  const reference = parseReference(options.target ?? nameOrId);
  const whole = formatReference(reference);
  const tag = tagReferenceOf(reference);
  if (tag === undefined) throw new TripodError("invalid", `push ${whole}: give a tag to push to, not a digest`);
  return withSpan("oci push", { image: whole }, async () => {
    const abort = new AbortController();
    const signal = options.signal === undefined ? abort.signal : AbortSignal.any([options.signal, abort.signal]);
    try {
      using lease = new Lease(store.records);
      const blobs = [record.configDescriptor, ...record.layers];
      lease.hold([record.manifest.digest, ...blobs.map((blob) => blob.digest)]);
      const manifest = await store.content.read(record.manifest.digest, maxManifestBytes);
      if (manifest === undefined)
        throw new TripodError("failed-precondition", "its manifest is lost; pull or build it again");
      const hosts = await loadHosts(store.layout.certsDir, reference.host);
      using client = new RegistryClient({ reference, hosts, auth: options.auth, signal });
      const [session] = client.sessions("push");
      if (session === undefined) return whole; // sessions() gives one or throws
      const limiter = new Limiter(parallelUploads);
      const { repository } = reference;
      const send = async (blob: Descriptor): Promise<void> => {
        const tell = (state: "uploading" | "done" | "exists", doneBytes: number): void =>
          options.onProgress?.({ digest: blob.digest, sizeBytes: blob.size, doneBytes, state });
        if (!(await store.content.has(blob))) {
          throw new TripodError("failed-precondition", `layer ${blob.digest} is lost; pull or build the image again`);
        }
        tell("uploading", 0);
        const result = await pushBlob(session, blob, {
          repository,
          path: store.content.pathOf(blob.digest),
          mountFrom: knownElsewhere(store, blob.digest, reference),
          signal,
          onBytes: (done) => tell("uploading", done),
        });
        tell(result === "uploaded" ? "done" : "exists", blob.size);
      };
      const unique = [...new Map(blobs.map((blob) => [blob.digest, blob])).values()];
      const results = await Promise.allSettled(
        unique.map((blob) =>
          limiter
            .run(() => send(blob))
            .catch((error: unknown) => {
              abort.abort(error);
              throw error;
            }),
        ),
      );
      const failed = results.find((result) => result.status === "rejected");
      if (failed !== undefined) throw abort.signal.reason ?? failed.reason;
      await pushManifest(session, manifest, {
        repository,
        tag: reference.tag ?? "latest",
        mediaType: record.manifest.mediaType,
        signal,
      });
      const pushed = `${repositoryOf(reference)}@${record.manifest.digest}`;
      if (store.records.images.get(id) === undefined) return pushed; // removed meanwhile: there is nothing to name
      store.records.put(
        id,
        record,
        new Map([tag, pushed].map((name) => [name, { documents: [record.manifest.digest] }])),
      );
      return pushed;
    } catch (error) {
      if (options.signal?.aborted === true)
        throw new TripodError("cancelled", `push ${whole}: cancelled`, { cause: error });
      throw new TripodError(isTripodError(error) ? error.code : "internal", `push ${whole}: ${messageOf(error)}`, {
        cause: error,
      });
    }
  });
}

/** Another repository of the same registry in which this image store has seen the blob. */
function knownElsewhere(
  store: Store,
  blob: Digest,
  target: { readonly host: string; readonly repository: string },
): string | undefined {
  const holders = new Set(
    store.records.images
      .entries()
      .flatMap(([id, image]) => (image.layers.some((layer) => layer.digest === blob) ? [id] : [])),
  );
  for (const [name, { imageId }] of store.records.names.entries()) {
    if (!holders.has(imageId) || !name.includes("@")) continue; // names with a digest were seen in a registry
    const other = parseReference(name);
    if (other.host === target.host && other.repository !== target.repository) return other.repository;
  }
  return undefined;
}
