import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  webcrypto,
} from "node:crypto";
import { isIP } from "node:net";
// @peculiar/x509 registers its parsers by decorators.
import "reflect-metadata";
import * as x509 from "@peculiar/x509";

x509.cryptoProvider.set(webcrypto as Crypto); // Node's WebCrypto is the standard's; the two declarations differ in name alone

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const dayMs = 86_400_000;

/** A certificate and its private key, both PEM. */
export interface KeyPair {
  readonly certificate: string;
  readonly privateKey: string;
}

export interface CertificateRequest {
  readonly commonName: string;
  /** The groups that Kubernetes reads from a client's certificate. */
  readonly organizations?: readonly string[];
  /** DNS names and IP addresses of a server. */
  readonly sans?: readonly string[];
  readonly usage: "client" | "server";
  /** 365 unless told; leaves are issued again long before. */
  readonly days?: number;
}

const newKey = (): { pem: string; key: KeyObject } => {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { pem: privateKey.export({ type: "pkcs8", format: "pem" }).toString(), key: privateKey };
};

const importPrivate = (pem: string): Promise<CryptoKey> =>
  webcrypto.subtle.importKey(
    "pkcs8",
    createPrivateKey(pem).export({ type: "pkcs8", format: "der" }),
    algorithm,
    false,
    ["sign"],
  );
const importPublic = (pem: string): Promise<CryptoKey> =>
  webcrypto.subtle.importKey("spki", createPublicKey(pem).export({ type: "spki", format: "der" }), algorithm, true, [
    "verify",
  ]);

const escapeName = (text: string): string => text.replaceAll(/[,+"\\<>;=#]/g, (character) => `\\${character}`);
const serialNumber = (): string => `00${randomBytes(15).toString("hex")}`;

/** A certificate authority for 20 years: nothing of an instance outlives it. */
export async function makeAuthority(commonName: string): Promise<KeyPair> {
  const { pem } = newKey();
  const keys = { privateKey: await importPrivate(pem), publicKey: await importPublic(pem) };
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `CN=${escapeName(commonName)}`,
    notBefore: new Date(Date.now() - dayMs),
    notAfter: new Date(Date.now() + 20 * 365 * dayMs),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign | x509.KeyUsageFlags.digitalSignature,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: `${certificate.toString("pem")}\n`, privateKey: pem };
}

/** Issues a leaf certificate with a new key. */
export async function issueCertificate(authority: KeyPair, request: CertificateRequest): Promise<KeyPair> {
  const issuer = new x509.X509Certificate(authority.certificate);
  const { pem } = newKey();
  const publicKey = await importPublic(pem);
  const names = (request.sans ?? []).map((name) => ({
    type: isIP(name) === 0 ? ("dns" as const) : ("ip" as const),
    value: name,
  }));
  const subject = [
    ...(request.organizations ?? []).map((name) => `O=${escapeName(name)}`),
    `CN=${escapeName(request.commonName)}`,
  ].join(", ");
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject,
    issuer: issuer.subject,
    notBefore: new Date(Date.now() - dayMs),
    notAfter: new Date(Date.now() + (request.days ?? 365) * dayMs),
    signingAlgorithm: algorithm,
    signingKey: await importPrivate(authority.privateKey),
    publicKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([
        request.usage === "server" ? x509.ExtendedKeyUsage.serverAuth : x509.ExtendedKeyUsage.clientAuth,
      ]),
      ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
    ],
  });
  return { certificate: `${certificate.toString("pem")}\n`, privateKey: pem };
}

/** Whether a certificate is still good for what `request` asks: names, groups, issuer, and at least a third of its time left. */
export function stillServes(pair: KeyPair, request: CertificateRequest, authority: KeyPair): boolean {
  const certificate = new x509.X509Certificate(pair.certificate);
  const left = certificate.notAfter.getTime() - Date.now();
  const whole = certificate.notAfter.getTime() - certificate.notBefore.getTime();
  if (left < whole / 3 || certificate.issuer !== new x509.X509Certificate(authority.certificate).subject) return false;
  const held =
    certificate.getExtension(x509.SubjectAlternativeNameExtension)?.names.items.map((name) => name.value) ?? [];
  return (
    (request.sans ?? []).every((name) => held.includes(name)) &&
    certificate.subjectName.getField("CN")[0] === request.commonName
  );
}
