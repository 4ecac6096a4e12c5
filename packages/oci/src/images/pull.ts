import { isTripodError, messageOf, TripodError } from "@tripod/base";
import { withSpan } from "@tripod/trace";
import type { Image, PullOptions } from "../image.ts";
import { formatReference, parseReference, repositoryOf, tagReferenceOf } from "../reference.ts";
import { loadHosts } from "../registry/hosts-file.ts";
import { RegistryClient } from "../registry/registry-client.ts";
import { artifactTypeOf } from "../spec/artifact.ts";
import { parsePlatform } from "../spec/platform.ts";
import { fetchArtifact, fetchImage } from "./fetch-content.ts";
import { imageOf } from "./image-records.ts";
import { Lease } from "./lease.ts";
import { resolveManifest } from "./resolve-manifest.ts";
import type { Store } from "./store.ts";

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
      const artifactType = artifactTypeOf(manifest);
      const fetching = { manifest, client, lease, abort, signal, whole, onProgress: options.onProgress };
      const config =
        artifactType === undefined ? await fetchImage(store, fetching) : await fetchArtifact(store, fetching);
      const id = artifactType === undefined ? manifest.config.digest : descriptor.digest;
      const tag = tagReferenceOf(reference);
      const names = new Map([[`${repositoryOf(reference)}@${target}`, found.documents]]);
      // With a digest the tag was not looked up, so nothing is known about it.
      if (tag !== undefined && reference.digest === undefined) names.set(tag, found.documents);
      store.records.put(
        id,
        {
          manifest: descriptor,
          configDescriptor: manifest.config,
          config,
          layers: manifest.layers,
          pinned: false,
          ...(artifactType !== undefined && { artifactType }),
        },
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
