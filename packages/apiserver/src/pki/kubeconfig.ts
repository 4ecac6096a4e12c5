import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { writeFileAtomicSync } from "@tripod/base";
import { stringify } from "yaml";
import type { KeyPair } from "./certificate.ts";

export interface KubeconfigOptions {
  /** https://HOST:PORT. */
  readonly server: string;
  readonly caCertificate: string;
  readonly user: string;
  readonly credentials: KeyPair;
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");

/** Writes a kubeconfig with the credentials inside, readable by its owner alone. */
export function writeKubeconfig(path: string, options: KubeconfigOptions): void {
  const { server, caCertificate, user, credentials } = options;
  mkdirSync(dirname(path), { recursive: true });
  const text = stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "tripod", cluster: { server, "certificate-authority-data": base64(caCertificate) } }],
    users: [
      {
        name: user,
        user: {
          "client-certificate-data": base64(credentials.certificate),
          "client-key-data": base64(credentials.privateKey),
        },
      },
    ],
    contexts: [{ name: "tripod", context: { cluster: "tripod", user } }],
    "current-context": "tripod",
  });
  writeFileAtomicSync(path, text, { mode: 0o600 });
}
