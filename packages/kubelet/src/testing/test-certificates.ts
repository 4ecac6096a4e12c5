import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runCommand } from "@tripod/base";

/** PEM texts of a test's own authority and what it signed. */
export interface TestCertificates {
  readonly ca: string;
  readonly serverCert: string;
  readonly serverKey: string;
  /** The API server's, and one of somebody else. */
  readonly clientCert: string;
  readonly clientKey: string;
  readonly strangerCert: string;
  readonly strangerKey: string;
}

/** Makes an authority, a serving certificate for 127.0.0.1 and two client certificates below `dir`. */
export async function testCertificates(dir: string): Promise<TestCertificates> {
  const at = (name: string): string => join(dir, name);
  const openssl = (...args: string[]) => runCommand("openssl", args);
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  await openssl(
    "req",
    "-x509",
    ...newKey,
    "-keyout",
    at("ca.key"),
    "-out",
    at("ca.pem"),
    "-days",
    "2",
    "-subj",
    "/CN=test-ca",
  );
  writeFileSync(at("server.ext"), "subjectAltName=IP:127.0.0.1\n");
  const sign = async (name: string, subject: string, ...more: string[]): Promise<void> => {
    await openssl("req", ...newKey, "-keyout", at(`${name}.key`), "-out", at(`${name}.csr`), "-subj", subject);
    const ca = ["-CA", at("ca.pem"), "-CAkey", at("ca.key"), "-CAcreateserial", "-days", "2"];
    await openssl("x509", "-req", "-in", at(`${name}.csr`), "-out", at(`${name}.pem`), ...ca, ...more);
  };
  await sign("server", "/CN=node-1", "-extfile", at("server.ext"));
  await sign("client", "/CN=kube-apiserver-kubelet-client");
  await sign("stranger", "/CN=system:node:node-2");
  const read = (name: string): string => readFileSync(at(name), "utf8");
  return {
    ca: read("ca.pem"),
    serverCert: read("server.pem"),
    serverKey: read("server.key"),
    clientCert: read("client.pem"),
    clientKey: read("client.key"),
    strangerCert: read("stranger.pem"),
    strangerKey: read("stranger.key"),
  };
}
