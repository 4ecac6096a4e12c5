import { createPublicKey } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { failpoint, type Layout, TripodError, writeFileAtomicSync } from "@tripod/base";
import { type CertificateRequest, type KeyPair, stillServes } from "./certificate.ts";
import { newPrivateKey } from "./private-key.ts";

/** The key that signs service-account tokens, and its public half; both PEM. */
export interface TokenKey {
  readonly privateKey: string;
  readonly publicKey: string;
}

/** The instance's keys and certificates, all under one folder that root alone reads. */
export interface Pki {
  /** PEM of the authority that signs everything here. */
  readonly caCertificate: string;
  readonly tokenKey: TokenKey;
  /** A fresh certificate that is not kept. */
  issue(request: CertificateRequest): Promise<KeyPair>;
  /** The certificate kept as `name`, issued anew when it is absent, asked for with other names, or has a third of its time left. */
  keep(name: string, request: CertificateRequest): Promise<KeyPair>;
}

/** What makes certificates takes longer to load than a whole start; most starts make none. */
const issuing = () => import("./issue-certificate.ts");

// Certificate and key stand in one file, so that a crash never leaves one without the other.
const certificateBlock = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n/;
const keyBlock = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----\n/;

function readPair(path: string): KeyPair | undefined {
  if (!existsSync(path)) return undefined;
  const text = readFileSync(path, "utf8");
  const certificate = certificateBlock.exec(text)?.[0];
  const privateKey = keyBlock.exec(text)?.[0];
  if (certificate === undefined || privateKey === undefined)
    throw new TripodError(
      "corrupt",
      `read ${path}: it holds no certificate with its key; remove it to have it issued again`,
    );
  return { certificate, privateKey };
}

function writePair(path: string, pair: KeyPair): KeyPair {
  writeFileAtomicSync(path, pair.certificate + pair.privateKey, { mode: 0o600 });
  return pair;
}

function openTokenKey(path: string): TokenKey {
  if (!existsSync(path)) writeFileAtomicSync(path, newPrivateKey(), { mode: 0o600 });
  const privateKey = readFileSync(path, "utf8");
  return { privateKey, publicKey: createPublicKey(privateKey).export({ type: "spki", format: "pem" }).toString() };
}

/** Opens the instance's PKI and makes what is absent. Safe to ask for again, also after a crash at any step. */
export async function openPki(layout: Pick<Layout, "pkiDir">): Promise<Pki> {
  const dir = layout.pkiDir;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const authorityFile = join(dir, "ca.pem");
  const authority =
    readPair(authorityFile) ?? writePair(authorityFile, await (await issuing()).makeAuthority("tripod"));
  const issue = async (request: CertificateRequest): Promise<KeyPair> =>
    (await issuing()).issueCertificate(authority, request);
  failpoint("apiserver.pki.authority-made");
  // For those who verify us and must not see the key.
  const certificateFile = join(dir, "ca.crt");
  if (!existsSync(certificateFile) || readFileSync(certificateFile, "utf8") !== authority.certificate)
    writeFileAtomicSync(certificateFile, authority.certificate, { mode: 0o644 });
  return {
    caCertificate: authority.certificate,
    tokenKey: openTokenKey(join(dir, "service-accounts.key")),
    issue,
    async keep(name, request) {
      const path = join(dir, `${name}.pem`);
      const kept = readPair(path);
      if (kept !== undefined && stillServes(kept, request, authority)) return kept;
      return writePair(path, await issue(request));
    },
  };
}
