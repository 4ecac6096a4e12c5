import { createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import type { Pki } from "../pki/pki.ts";

/** What a service-account token says (RFC 7519 names; `kubernetes.io` as upstream's bound tokens have it). */
export interface TokenClaims {
  readonly iss: string;
  readonly sub: string;
  readonly aud: readonly string[];
  readonly exp: number;
  readonly iat: number;
  readonly nbf: number;
  readonly "kubernetes.io": {
    readonly namespace: string;
    readonly serviceaccount: { readonly name: string; readonly uid: string };
    readonly pod?: { readonly name: string; readonly uid: string };
  };
}

export const issuer = "https://kubernetes.default.svc";

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A signed token (JWS compact form, ES256). */
export function signToken(key: Pki["tokenKey"], claims: TokenClaims): string {
  const text = `${encode({ alg: "ES256", typ: "JWT" })}.${encode(claims)}`;
  const signature = sign("sha256", Buffer.from(text), {
    key: createPrivateKey(key.privateKey),
    dsaEncoding: "ieee-p1363",
  });
  return `${text}.${signature.toString("base64url")}`;
}

/** The claims of a token that we signed and that is valid now; undefined for any other text. */
export function verifyToken(key: Pki["tokenKey"], token: string): TokenClaims | undefined {
  const [header = "", payload = "", signature = "", ...rest] = token.split(".");
  if (rest.length > 0 || token.length > 16_384) return undefined;
  const isOurs = verify(
    "sha256",
    Buffer.from(`${header}.${payload}`),
    { key: createPublicKey(key.publicKey), dsaEncoding: "ieee-p1363" },
    Buffer.from(signature, "base64url"),
  );
  if (!isOurs) return undefined;
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as TokenClaims; // the signature is ours, so is the shape
  const now = Date.now() / 1000;
  return claims.exp > now && claims.nbf <= now + 60 && claims.aud.includes(issuer) ? claims : undefined;
}
