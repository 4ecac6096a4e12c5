import { isTripodError, messageOf, TripodError } from "@tripod/base";
import { withSpan } from "@tripod/trace";
import type { Digest } from "../digest.ts";
import type { Image, PullOptions } from "../image.ts";
import { formatReference, type ImageReference, parseReference, repositoryOf, tagReferenceOf } from "../reference.ts";
import { loadHosts } from "../registry/hosts-file.ts";
import { RegistryClient } from "../registry/registry-client.ts";
import { artifactTypeOf } from "../spec/artifact.ts";
import { parsePlatform } from "../spec/platform.ts";
import { enforcePolicy, refuseRejected } from "../trust/enforce-policy.ts";
import { fetchSignatures } from "../trust/fetch-signatures.ts";
import { loadPolicy, type Policy } from "../trust/policy.ts";
import { fetchArtifact, fetchImage } from "./fetch-content.ts";
import { imageOf, type NameRecord } from "./image-records.ts";
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
      const policy = await loadPolicy(store.layout.etcDir);
      if (policy !== undefined) refuseRejected(policy, reference);
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
      // From here on everything is fetched by its digest, so what is let in is what is pulled.
      const signatures = await letIn(policy, { reference, digests: found.documents, client });
      const artifactType = artifactTypeOf(manifest);
      const lazy = options.lazy && { ...options.lazy, auth: options.auth };
      const fetching = { manifest, client, lease, abort, signal, whole, onProgress: options.onProgress, lazy };
      const { config, wholeBecause } =
        artifactType === undefined
          ? await fetchImage(store, fetching)
          : { config: await fetchArtifact(store, fetching), wholeBecause: undefined };
      const id = artifactType === undefined ? manifest.config.digest : descriptor.digest;
      const tag = tagReferenceOf(reference);
      const { documents } = found;
      const names = new Map([[`${repositoryOf(reference)}@${target}`, { documents, signatures }]]);
      // With a digest the tag was not looked up, so nothing is known about it.
      if (tag !== undefined && reference.digest === undefined) names.set(tag, { documents, signatures });
      store.records.put(
        id,
        {
          manifest: descriptor,
          configDescriptor: manifest.config,
          config,
          layers: manifest.layers,
          pinned: false,
          ...(artifactType !== undefined && { artifactType }),
          ...(lazy !== undefined &&
            wholeBecause === undefined &&
            artifactType === undefined && { lazy: true as const }),
          ...(wholeBecause !== undefined && { wholeBecause }),
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

/** Asks the policy about what the name was found to mean; returns the signatures that it wanted, as they are recorded. */
async function letIn(
  policy: Policy | undefined,
  {
    reference,
    digests,
    client,
  }: { readonly reference: ImageReference; readonly digests: readonly Digest[]; readonly client: RegistryClient },
): Promise<NonNullable<NameRecord["signatures"]>> {
  if (policy === undefined) return [];
  const taken = await enforcePolicy(policy, {
    reference,
    digests,
    signaturesOn: (digest) => fetchSignatures(client, digest),
  });
  return taken.map(({ payload, signature }) => ({ payload: toBase64(payload), signature: toBase64(signature) }));
}

const toBase64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
