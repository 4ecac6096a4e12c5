import { createHash } from "node:crypto";
import { TripodError } from "@tripod/base";

/** "sha256:" and 64 lower-case hex digits; the only algorithm that registries use. */
export type Digest = `sha256:${string}`;

const pattern = /^sha256:[0-9a-f]{64}$/;

/** True when `text` is a whole sha256 digest. */
export const isDigest = (text: string): text is Digest => pattern.test(text);

/** Checks `text`, which came from `where` (named in the error). */
export function parseDigest(text: string, where: string): Digest {
  if (isDigest(text)) return text;
  throw new TripodError("invalid", `${where}: ${JSON.stringify(text.slice(0, 100))} is not a sha256 digest`);
}

/** The digest of bytes in memory; for manifests and configs, not for layers. */
export const digestOf = (bytes: Uint8Array | string): Digest =>
  `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** The 64 hex digits of a digest, as used in file names. */
export const hexOf = (digest: Digest): string => digest.slice("sha256:".length);
