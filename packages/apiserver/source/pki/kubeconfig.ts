import { writeFileAtomicSync } from "@tripod/base";
import { stringify } from "yaml";
import type { KeyPair } from "./certificates.ts";

export interface KubeconfigOptions {
  /** https://HOST:PORT. */
  readonly server: string;
  readonly caCertificate: string;
  readonly user: string;
  readonly credentials: KeyPair;
}

/** Writes a kubeconfig with the credentials inside, readable by root alone. */
export function writeKubeconfig(path: string, options: KubeconfigOptions): void {
  const base64 = (text: string): string => Buffer.from(text).toString("base64");
  const text = stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [
      {
        name: "tripod",
        cluster: { server: options.server, "certificate-authority-data": base64(options.caCertificate) },
      },
    ],
    users: [
      {
        name: options.user,
        user: {
          "client-certificate-data": base64(options.credentials.certificate),
          "client-key-data": base64(options.credentials.privateKey),
        },
      },
    ],
    contexts: [{ name: "tripod", context: { cluster: "tripod", user: options.user } }],
    "current-context": "tripod",
  });
  writeFileAtomicSync(path, text, { mode: 0o600 });
}
