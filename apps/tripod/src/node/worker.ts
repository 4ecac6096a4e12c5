import { X509Certificate } from "node:crypto";
import { openPki } from "@tripod/apiserver";
import type { Layout, Logger } from "@tripod/base";
import { readKubeconfig } from "@tripod/kube";
import { type KubeletOptions, startKubelet } from "@tripod/kubelet";

export interface WorkerOptions {
  readonly layout: Layout;
  readonly nodeName: string;
  readonly nodeIp: string;
  readonly podCidr: string;
  readonly criSocket: string;
  readonly kubeconfig: string;
  /** Where the kubelet listens; 127.0.0.1 unless told, which only an API server on this machine reaches. */
  readonly address?: string;
  /** As the kubelet's; none unless told. */
  readonly standIns?: Readonly<Record<string, string>>;
  readonly log: Logger;
}

/** The extended key usage of a server's certificate (RFC 5280, 4.2.1.12). */
const serverAuth = "1.3.6.1.5.5.7.3.1";

/**
 * With what the kubelet serves, and by whom its callers must be signed. Where the node's own certificate in the kubeconfig is one for a server,
 * as our API server issues it, that is shown; else one of an authority of this instance's own, which upstream's API server does not verify
 * unless it is told to. Callers are those whom the cluster's authority signed.
 */
async function servingTls({ layout, nodeName, nodeIp, kubeconfig }: WorkerOptions): Promise<KubeletOptions["tls"]> {
  const { ca, cert, key } = readKubeconfig(kubeconfig);
  const serves = cert !== undefined && new X509Certificate(cert).keyUsage?.includes(serverAuth) === true;
  if (ca !== undefined && serves && key !== undefined) return { cert, key, clientCa: ca };
  const pki = await openPki(layout);
  const sans = [nodeName, "localhost", "127.0.0.1", nodeIp];
  const own = await pki.keep("kubelet-serving", { commonName: `system:node:${nodeName}`, sans, usage: "server" });
  return { cert: own.certificate, key: own.privateKey, clientCa: ca ?? pki.caCertificate };
}

/** Starts the kubelet; closed with `stack`. */
export async function startWorker(options: WorkerOptions, stack: AsyncDisposableStack): Promise<{ port: number }> {
  const kubelet = await startKubelet({
    layout: options.layout,
    nodeName: options.nodeName,
    nodeIp: options.nodeIp,
    podCidr: options.podCidr,
    kubeconfig: options.kubeconfig,
    criSocket: options.criSocket,
    tls: await servingTls(options),
    address: options.address ?? "127.0.0.1",
    port: 0,
    ...(options.standIns === undefined ? {} : { standIns: options.standIns }),
    log: options.log.child({ part: "kubelet" }),
  });
  stack.defer(() => kubelet.close());
  return { port: kubelet.port };
}
