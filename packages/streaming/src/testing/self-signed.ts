import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runCommand } from "@tripod/base";

/** A certificate for 127.0.0.1 that signs itself, and its key, as PEM; the files are made in `dir`. */
export async function selfSigned(dir: string): Promise<{ cert: string; key: string }> {
  const [keyFile, certFile] = [join(dir, "server.key"), join(dir, "server.crt")];
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", keyFile];
  const names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  await runCommand("openssl", ["req", "-x509", ...key, ...names, "-days", "2", "-out", certFile]);
  return { cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") };
}
