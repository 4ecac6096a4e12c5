import { TripodError } from "@tripod/base";
import type { OnProgress } from "../image.ts";
import type { RegistryClient } from "../registry/registry-client.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import type { Store } from "./store.ts";

export interface EnsureBlobOptions {
  readonly client: RegistryClient;
  readonly signal: AbortSignal;
  readonly onProgress?: OnProgress | undefined;
}

/** Makes sure that a blob is in the content store: is there, or is being fetched by another pull, or is fetched. */
export async function ensureBlob(
  store: Store,
  blob: Descriptor,
  { client, signal, onProgress }: EnsureBlobOptions,
): Promise<void> {
  const tell = (state: "waiting" | "downloading" | "downloaded" | "exists", doneBytes: number): void =>
    onProgress?.({ digest: blob.digest, sizeBytes: blob.size, doneBytes, state });
  if (await store.content.has(blob)) {
    tell("exists", blob.size);
    return;
  }
  tell("waiting", 0);
  await store.blobWork.run(
    blob.digest,
    () =>
      store.downloads.run(async () => {
        signal.throwIfAborted();
        await using ingest = await store.content.ingest(blob, { signal });
        if (ingest === undefined) return;
        tell("downloading", ingest.offset);
        await client.blob(blob, { ingest, signal, onBytes: (done) => tell("downloading", done) });
      }),
    signal,
  );
  tell("downloaded", blob.size);
}

/** For what cannot be fetched: a blob that is not there is an error. */
export async function needBlob(store: Store, blob: Descriptor): Promise<void> {
  if (await store.content.has(blob)) return;
  if (store.snapshotter.lazy.layers().some((layer) => layer.blob === blob.digest)) {
    const why = `layer ${blob.digest} is still coming in, while containers use it already`;
    throw new TripodError("unavailable", `${why}; try again when tripod image inspect says that it is whole`);
  }
  throw new TripodError("failed-precondition", `layer ${blob.digest} is lost; pull, import or build the image again`);
}
