import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Layout } from "@tripod/base";
import { writeKubeconfig } from "./kubeconfig.ts";
import type { Pki } from "./pki.ts";

/** Writes the kubeconfigs of the administrator, the node's kubelet and the controllers. */
export async function writeCredentials(pki: Pki, layout: Layout, server: string, nodeName: string): Promise<void> {
  const users = [
    { path: layout.kubeconfig, name: "admin", commonName: "kubernetes-admin", organizations: ["system:masters"] },
    {
      path: join(layout.pkiDir, "kubelet.kubeconfig"),
      name: "kubelet",
      commonName: `system:node:${nodeName}`,
      organizations: ["system:nodes"],
    },
    {
      path: join(layout.pkiDir, "controllers.kubeconfig"),
      name: "controllers",
      commonName: "system:kube-controller-manager",
      organizations: [],
    },
  ];
  for (const { path, name, commonName, organizations } of users) {
    const credentials = await pki.keep(name, { commonName, organizations, usage: "client" });
    mkdirSync(dirname(path), { recursive: true });
    writeKubeconfig(path, { server, caCertificate: pki.caCertificate, user: commonName, credentials });
  }
}
