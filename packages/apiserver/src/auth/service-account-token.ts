import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import type { TokenKey } from "../pki/pki.ts";

/** Names an object that a token is bound to: when it is gone, so is the token. */
export interface BoundObject {
  readonly name: string;
  readonly uid: string;
}

/** What a service-account token says (names of RFC 7519; `kubernetes.io` as in upstream's bound tokens). */
export interface TokenClaims {
  readonly iss: string;
  readonly sub: string;
  readonly aud: readonly string[];
  readonly exp: number;
  readonly iat: number;
  readonly nbf: number;
  readonly jti: string;
  readonly "kubernetes.io": {
    readonly namespace: string;
    readonly serviceaccount: BoundObject;
    readonly pod?: BoundObject;
    readonly node?: BoundObject;
    readonly secret?: BoundObject;
  };
}

/** Who signs, and whom a token without audiences is for. */
export const tokenIssuer = "https://kubernetes.default.svc.cluster.local";
/** The longest token that is looked at, in characters. */
const longest = 16_384;

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");

/** Signs and checks service-account tokens (JWS compact form, ES256). */
export class TokenSigner {
  readonly #secret: KeyObject;
  readonly #open: KeyObject;

  constructor(key: TokenKey) {
    this.#secret = createPrivateKey(key.privateKey);
    this.#open = createPublicKey(key.publicKey);
  }

  sign(claims: TokenClaims): string {
    const text = `${encode({ alg: "ES256", typ: "JWT" })}.${encode(claims)}`;
    const signature = sign("sha256", Buffer.from(text), { key: this.#secret, dsaEncoding: "ieee-p1363" });
    return `${text}.${signature.toString("base64url")}`;
  }

  /** The claims of a token that we signed, that is valid now and meant for `audience`; undefined for any other text. */
  verify(token: string, audience = tokenIssuer): TokenClaims | undefined {
    const [header, payload, signature, ...rest] = token.length > longest ? [] : token.split(".");
    if (header === undefined || payload === undefined || signature === undefined || rest.length > 0) return undefined;
    const text = Buffer.from(`${header}.${payload}`);
    const key = { key: this.#open, dsaEncoding: "ieee-p1363" } as const;
    if (!verify("sha256", text, key, Buffer.from(signature, "base64url"))) return undefined;
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as TokenClaims; // we signed it, so we wrote it
    const now = Date.now() / 1000;
    return claims.exp > now && claims.nbf <= now && claims.aud.includes(audience) ? claims : undefined;
  }
}
