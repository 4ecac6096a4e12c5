import { networkInterfaces } from "node:os";
import { join } from "node:path";
import type { Layout } from "@tripod/base";
import type { KeyPair } from "./certificate.ts";
import { writeKubeconfig } from "./kubeconfig.ts";
import type { Pki } from "./pki.ts";

/** The certificate with which the API server shows itself to kubelets. */
const kubeletClientName = "kube-apiserver-kubelet-client";
/** Whom the controllers' kubeconfig names. */
const controllersName = "system:kube-controller-manager";

const serviceNames = [
  "kubernetes",
  "kubernetes.default",
  "kubernetes.default.svc",
  "kubernetes.default.svc.cluster.local",
];

/** The serving certificate of an API server that listens on `address`. */
export function keepServingCertificate(pki: Pki, address: string): Promise<KeyPair> {
  const everywhere = address === "0.0.0.0" || address === "::";
  const own = everywhere
    ? Object.values(networkInterfaces())
        .flatMap((each) => each ?? [])
        .map((each) => each.address)
    : [];
  // Link-local addresses carry a zone, which no certificate can name.
  const reachable = own.filter((each) => !each.startsWith("fe80:"));
  const sans = ["localhost", "127.0.0.1", ...serviceNames, ...(everywhere ? reachable : [address])];
  return pki.keep("apiserver", { commonName: "kube-apiserver", sans: [...new Set(sans)], usage: "server" });
}

export const keepKubeletClientCertificate = (pki: Pki): Promise<KeyPair> =>
  pki.keep("apiserver-kubelet-client", {
    commonName: kubeletClientName,
    organizations: ["system:masters"],
    usage: "client",
  });

/** Writes the kubeconfigs of the administrator, the kubelet and the controllers, each readable by root alone. */
export async function writeKubeconfigs(
  pki: Pki,
  layout: Pick<Layout, "pkiDir" | "kubeconfig">,
  options: { readonly server: string; readonly nodeName: string },
): Promise<void> {
  const { server, nodeName } = options;
  const users = [
    { name: "admin", path: layout.kubeconfig, commonName: "tripod-admin", organizations: ["system:masters"] },
    {
      name: "kubelet",
      path: join(layout.pkiDir, "kubelet.kubeconfig"),
      commonName: `system:node:${nodeName}`,
      organizations: ["system:nodes"],
      // The kubelet serves with it, too, wherever it runs: the API server knows it by the node's name.
      usage: "node" as const,
      sans: [nodeName, "localhost", "127.0.0.1"],
    },
    {
      name: "controllers",
      path: join(layout.pkiDir, "controllers.kubeconfig"),
      commonName: controllersName,
      organizations: [],
    },
  ];
  for (const { name, path, ...request } of users) {
    const credentials = await pki.keep(`${name}-client`, { usage: "client", ...request });
    writeKubeconfig(path, { server, caCertificate: pki.caCertificate, user: name, credentials });
  }
}
