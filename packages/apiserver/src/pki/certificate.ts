import { createPublicKey, X509Certificate } from "node:crypto";

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
  /** "node": a kubelet's, which is a client of the API server and a server to it. */
  readonly usage: "client" | "server" | "node";
  /** 365 unless told; what is kept is issued again when a third of it is left. */
  readonly days?: number;
}

/** The names in "DNS:localhost, IP Address:127.0.0.1" as Node prints them. */
const sansOf = (certificate: X509Certificate): string[] =>
  (certificate.subjectAltName ?? "").split(", ").map((each) => each.slice(each.indexOf(":") + 1));

/** Whether a kept certificate still serves what `request` asks: its authority, names and groups, and a third of its time left. */
export function stillServes(pair: KeyPair, request: CertificateRequest, authority: KeyPair): boolean {
  const certificate = new X509Certificate(pair.certificate);
  const caKey = createPublicKey(authority.certificate);
  const [from, to] = [certificate.validFromDate.getTime(), certificate.validToDate.getTime()];
  if (to - Date.now() < (to - from) / 3 || !certificate.verify(caKey)) return false;
  const subject = certificate.subject.split("\n");
  const wanted = [`CN=${request.commonName}`, ...(request.organizations ?? []).map((name) => `O=${name}`)];
  const held = sansOf(certificate);
  return wanted.every((line) => subject.includes(line)) && (request.sans ?? []).every((name) => held.includes(name));
}
