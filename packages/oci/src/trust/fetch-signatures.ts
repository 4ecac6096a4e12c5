import { TripodError } from "@tripod/base";
import type { Digest } from "../digest.ts";
import type { FetchedManifest, RegistryClient } from "../registry/registry-client.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { parseManifest } from "../spec/manifest.ts";
import type { Signature } from "./signature.ts";

export const signatureLayerType = "application/vnd.dev.cosign.simplesigning.v1+json";
export const signatureArtifactType = "application/vnd.dev.cosign.artifact.sig.v1+json";
export const signatureKey = "dev.cosignproject.cosign/signature";

/** An image with more signatures is refused. */
const maxSignatures = 50;
const maxPayloadBytes = 64 * 1024;

/** Where cosign keeps the signatures on a manifest: an image under this tag, a layer a signature. */
export const signatureTag = (digest: Digest): string => `${digest.replace(":", "-")}.sig`;

/**
 * The signatures on a manifest, as cosign stores them beside it: under the tag "sha256-HEX.sig", and in manifests that refer to it.
 * They are not verified.
 */
export async function fetchSignatures(client: RegistryClient, digest: Digest): Promise<Signature[]> {
  const manifests = [await client.find(signatureTag(digest))];
  for (const { digest: referrer } of (await client.referrers(digest, signatureArtifactType)).slice(0, maxSignatures))
    manifests.push(await client.find(referrer));
  const layers = manifests.flatMap((manifest) => (manifest === undefined ? [] : signatureLayers(manifest)));
  if (layers.length > maxSignatures)
    throw new TripodError(
      "invalid",
      `${digest} has ${layers.length} signatures; at most ${maxSignatures} are looked at`,
    );
  return Promise.all(
    layers.map(async (layer) => ({
      payload: await client.document(layer, maxPayloadBytes),
      signature: Buffer.from(layer.annotations?.[signatureKey] ?? "", "base64"),
    })),
  );
}

/** The layers of a manifest of signatures that hold one. */
export function signatureLayers({ bytes, digest, mediaType }: FetchedManifest): Descriptor[] {
  const manifest = parseManifest(bytes, `signatures ${digest}`, mediaType);
  if (manifest.kind === "index") return [];
  return manifest.layers.filter(
    (layer) => layer.mediaType === signatureLayerType && layer.annotations?.[signatureKey] !== undefined,
  );
}
