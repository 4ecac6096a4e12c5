import { randomBytes, webcrypto } from "node:crypto";
import { isIP } from "node:net";
// @peculiar/x509 registers its parsers by decorators.
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import type { CertificateRequest, KeyPair } from "./certificate.ts";
import { newPrivateKey, toWebCryptoKeys } from "./private-key.ts";

x509.cryptoProvider.set(webcrypto as Crypto); // Node's WebCrypto is the standard's; the two declarations differ in name alone

const dayMs = 86_400_000;
const signingAlgorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

const { clientAuth, serverAuth } = x509.ExtendedKeyUsage;
const extendedUsages = { client: [clientAuth], server: [serverAuth], node: [clientAuth, serverAuth] };

const escapeName = (text: string): string => text.replaceAll(/[,+"\\<>;=#]/g, (character) => `\\${character}`);
/** Positive, and 120 bits of chance. */
const serialNumber = (): string => `01${randomBytes(15).toString("hex")}`;
/** Clocks of other machines may be behind. */
const notBefore = (): Date => new Date(Date.now() - dayMs);
const notAfter = (days: number): Date => new Date(Date.now() + days * dayMs);

/** A certificate authority for 20 years: nothing of an instance outlives it. */
export async function makeAuthority(commonName: string): Promise<KeyPair> {
  const privateKey = newPrivateKey();
  const keys = await toWebCryptoKeys(privateKey);
  const usages = x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign | x509.KeyUsageFlags.digitalSignature;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `CN=${escapeName(commonName)}`,
    notBefore: notBefore(),
    notAfter: notAfter(20 * 365),
    signingAlgorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(usages, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: `${certificate.toString("pem")}\n`, privateKey };
}

/** Issues a leaf certificate with a new key. */
export async function issueCertificate(authority: KeyPair, request: CertificateRequest): Promise<KeyPair> {
  const issuer = new x509.X509Certificate(authority.certificate);
  const privateKey = newPrivateKey();
  const names = (request.sans ?? []).map((value) => ({
    type: isIP(value) === 0 ? ("dns" as const) : ("ip" as const),
    value,
  }));
  const organizations = (request.organizations ?? []).map((name) => `O=${escapeName(name)}`);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: [...organizations, `CN=${escapeName(request.commonName)}`].join(", "),
    issuer: issuer.subject,
    notBefore: notBefore(),
    notAfter: notAfter(request.days ?? 365),
    signingAlgorithm,
    signingKey: (await toWebCryptoKeys(authority.privateKey)).privateKey,
    publicKey: (await toWebCryptoKeys(privateKey)).publicKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(extendedUsages[request.usage]),
      ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
    ],
  });
  return { certificate: `${certificate.toString("pem")}\n`, privateKey };
}
