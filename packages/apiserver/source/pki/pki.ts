import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Layout, TripodError, writeFileAtomicSync } from "@tripod/base";
import { type CertificateRequest, issueCertificate, type KeyPair, makeAuthority, stillServes } from "./certificates.ts";

/** The instance's keys and certificates, all under one folder that root alone reads. */
export interface Pki {
  /** PEM of the authority that signs everything here. */
  readonly caCertificate: string;
  /** PEM of the key that signs service-account tokens, and its public half. */
  readonly tokenKey: { readonly privateKey: string; readonly publicKey: string };
  /** A fresh certificate that is not kept. */
  issue(request: CertificateRequest): Promise<KeyPair>;
  /** The certificate kept as `name`, issued anew when it is absent, of other names, or past two thirds of its time. */
  keep(name: string, request: CertificateRequest): Promise<KeyPair>;
}

function readPair(dir: string, name: string): KeyPair | undefined {
  const path = join(dir, `${name}.pem`);
  if (!existsSync(path)) return undefined;
  // Certificate and key stand in one file, so that a crash never leaves one without the other.
  const text = readFileSync(path, "utf8");
  const certificate = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n/.exec(text)?.[0];
  const privateKey = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----\n/.exec(text)?.[0];
  if (certificate === undefined || privateKey === undefined) {
    throw new TripodError(
      "corrupt",
      `read ${path}: it holds no certificate with its key; remove it to have it issued again`,
    );
  }
  return { certificate, privateKey };
}

function writePair(dir: string, name: string, pair: KeyPair): KeyPair {
  writeFileAtomicSync(join(dir, `${name}.pem`), `${pair.certificate}${pair.privateKey}`, { mode: 0o600 });
  return pair;
}

function tokenKey(dir: string): Pki["tokenKey"] {
  const path = join(dir, "service-accounts.key");
  if (!existsSync(path)) {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    writeFileAtomicSync(path, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  }
  const privateKey = readFileSync(path, "utf8");
  return { privateKey, publicKey: createPublicKey(privateKey).export({ type: "spki", format: "pem" }).toString() };
}

/** Opens the instance's PKI, making what is absent. Safe to ask for again, and after a crash at any step. */
export async function openPki(layout: Pick<Layout, "pkiDir">): Promise<Pki> {
  const dir = layout.pkiDir;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const authority = readPair(dir, "ca") ?? writePair(dir, "ca", await makeAuthority("tripod"));
  return {
    caCertificate: authority.certificate,
    tokenKey: tokenKey(dir),
    issue: (request) => issueCertificate(authority, request),
    async keep(name, request) {
      const kept = readPair(dir, name);
      if (kept !== undefined && stillServes(kept, request, authority)) return kept;
      return writePair(dir, name, await issueCertificate(authority, request));
    },
  };
}
