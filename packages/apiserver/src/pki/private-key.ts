import { createPrivateKey, createPublicKey, generateKeyPairSync, webcrypto } from "node:crypto";

const algorithm = { name: "ECDSA", namedCurve: "P-256" } as const;

/** A new P-256 key as PEM (PKCS #8). */
export const newPrivateKey = (): string =>
  generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ type: "pkcs8", format: "pem" }).toString();

/** A key of newPrivateKey() in the form that certificates are made with. */
export async function toWebCryptoKeys(pem: string): Promise<{ privateKey: CryptoKey; publicKey: CryptoKey }> {
  const secret = createPrivateKey(pem).export({ type: "pkcs8", format: "der" });
  const open = createPublicKey(pem).export({ type: "spki", format: "der" });
  return {
    privateKey: await webcrypto.subtle.importKey("pkcs8", secret, algorithm, false, ["sign"]),
    publicKey: await webcrypto.subtle.importKey("spki", open, algorithm, true, ["verify"]),
  };
}
