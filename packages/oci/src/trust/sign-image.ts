import { createPrivateKey, type KeyObject, sign } from "node:crypto";
import { messageOf, TripodError } from "@tripod/base";
import { digestOf } from "../digest.ts";
import type { RegistryAuth } from "../image.ts";
import { parseReference, repositoryOf, tagReferenceOf } from "../reference.ts";
import { loadHosts } from "../registry/hosts-file.ts";
import { pushBytes, pushManifest } from "../registry/push-document.ts";
import { RegistryClient } from "../registry/registry-client.ts";
import type { Descriptor } from "../spec/descriptor.ts";
import { parseManifest } from "../spec/manifest.ts";
import { mediaTypes } from "../spec/media-types.ts";
import { signatureKey, signatureLayers, signatureLayerType, signatureTag } from "./fetch-signatures.ts";
import { claimType, hashFor } from "./signature.ts";

export interface SignOptions {
  /** A private key in PEM, not encrypted: ECDSA P-256, RSA or Ed25519. */
  readonly key: string;
  readonly auth?: RegistryAuth | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Signs what a name means in its registry now, and puts the signature beside it as cosign does, with those that are there. It speaks
 * of the name with its tag. Returns "host/repository@digest", which was signed.
 */
export async function signImage(certsDir: string, name: string, { key, auth, signal }: SignOptions): Promise<string> {
  const reference = parseReference(name);
  const hosts = await loadHosts(certsDir, reference.host);
  using client = new RegistryClient({ reference, hosts, auth, signal });
  const digest = reference.digest ?? (await client.resolve(reference.tag ?? "latest")).digest;
  const payload = Buffer.from(
    JSON.stringify({
      critical: {
        identity: { "docker-reference": tagReferenceOf(reference) ?? repositoryOf(reference) },
        image: { "docker-manifest-digest": digest },
        type: claimType,
      },
      optional: {},
    }),
  );
  const secret = privateKey(key);
  const signature = sign(hashFor(secret), payload, secret).toString("base64");
  const before = await client.find(signatureTag(digest));
  const layers = [
    ...(before === undefined ? [] : signatureLayers(before)),
    { ...descriptor(payload, signatureLayerType), annotations: { [signatureKey]: signature } },
  ];
  const config = Buffer.from(
    JSON.stringify({
      architecture: "",
      os: "",
      config: {},
      rootfs: { type: "layers", diff_ids: layers.map((layer) => layer.digest) },
    }),
  );
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: descriptor(config, mediaTypes.ociConfig),
    layers,
  };
  const target = { repository: reference.repository, signal };
  const [session] = client.sessions("push");
  if (session === undefined) return name; // sessions() gives one or throws
  for (const bytes of [payload, config]) await pushBytes(session, bytes, target);
  const bytes = Buffer.from(JSON.stringify(manifest));
  parseManifest(bytes, "signatures");
  await pushManifest(session, bytes, { ...target, tag: signatureTag(digest), mediaType: mediaTypes.ociManifest });
  return `${repositoryOf(reference)}@${digest}`;
}

const descriptor = (bytes: Uint8Array, mediaType: string): Descriptor => ({
  mediaType,
  digest: digestOf(bytes),
  size: bytes.byteLength,
});

function privateKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw new TripodError(
      "invalid",
      `sign: the key is no private key in PEM without a passphrase (${messageOf(cause)}); make one with openssl genpkey -algorithm ed25519`,
      { cause },
    );
  }
}
