import { X509Certificate } from "node:crypto";
import { TripodError } from "@tripod/base";
import { readKubeconfig } from "@tripod/kube";

/** The node whose credentials these are: NAME of a client certificate for system:node:NAME; undefined for any other user. */
function nodeOfCertificate(pem: string | undefined): string | undefined {
  if (pem === undefined || !pem.includes("BEGIN CERTIFICATE")) return undefined;
  return /^CN=system:node:(.+)$/m.exec(new X509Certificate(pem).subject)?.[1];
}

export interface NodeNameInput {
  readonly kubeconfig: string;
  /** The name that the user asked for. */
  readonly wanted: string | undefined;
  /** The name when neither the user nor the credentials say one. */
  readonly otherwise: string;
}

/**
 * The name under which a kubelet may register with a kubeconfig: API servers let a node's credentials write that node alone, so that
 * another name is refused at once, and the credentials' own is the default.
 */
export function nodeNameFor({ kubeconfig, wanted, otherwise }: NodeNameInput): string {
  const own = nodeOfCertificate(readKubeconfig(kubeconfig).cert);
  if (own !== undefined && wanted !== undefined && wanted !== own)
    throw new TripodError(
      "invalid",
      `run node ${wanted}: ${kubeconfig} holds the credentials of node ${own}, which may not write another; leave the name out, or get credentials for system:node:${wanted}`,
    );
  return wanted ?? own ?? otherwise;
}
