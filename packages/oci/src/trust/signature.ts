import { type KeyObject, verify } from "node:crypto";
import { isDigest, type Digest } from "../digest.ts";
import { objectAt, parseJson, stringAt } from "../spec/json.ts";

/** A signature as cosign stores it: what was signed, byte for byte, and the signature over it. */
export interface Signature {
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
}

/** What a signature says, once it is known to be a key's. */
export interface SignedClaim {
  readonly digest: Digest;
  /** "host/repository", maybe with a tag. */
  readonly reference: string;
}

/** Elliptic and RSA signatures are over the payload's SHA-256 (DER, and PKCS #1 1.5); Ed25519 hashes by itself. */
export const hashFor = (key: KeyObject): string | null => (key.asymmetricKeyType === "ed25519" ? null : "sha256");

/** True when one of the keys made the signature. */
export const isSignedBy = ({ payload, signature }: Signature, keys: readonly KeyObject[]): boolean =>
  keys.some((key) => verify(hashFor(key), payload, key, signature));

/** Reads a payload of the "simple signing" form (containers-signature(5), cosign's SIGNATURE_SPEC). Only for what is verified. */
export function parseClaim(payload: Uint8Array): SignedClaim {
  const where = "signature";
  const critical = objectAt(objectAt(parseJson(payload, where), where).critical, `${where}: critical`);
  const type = stringAt(critical.type, `${where}: critical.type`);
  if (type !== claimType) throw new Error(`it is of the type ${JSON.stringify(type.slice(0, 100))}`);
  const image = objectAt(critical.image, `${where}: critical.image`);
  const identity = objectAt(critical.identity, `${where}: critical.identity`);
  const digest = stringAt(image["docker-manifest-digest"], `${where}: docker-manifest-digest`);
  if (!isDigest(digest)) throw new Error("it names no digest");
  return { digest, reference: stringAt(identity["docker-reference"], `${where}: docker-reference`) };
}

export const claimType = "cosign container image signature";
