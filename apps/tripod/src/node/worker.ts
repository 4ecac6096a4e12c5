import type { Layout, Logger } from "@tripod/base";
import { startKubelet } from "@tripod/kubelet";
import { openPki } from "@tripod/apiserver";

export interface WorkerOptions {
  readonly layout: Layout;
  readonly nodeName: string;
  readonly nodeIp: string;
  readonly podCidr: string;
  readonly criSocket: string;
  readonly kubeconfig: string;
  readonly log: Logger;
}

/** Starts the kubelet of the embedded node, with a serving certificate of the instance's own CA; closed with `stack`. */
export async function startWorker(options: WorkerOptions, stack: AsyncDisposableStack): Promise<{ port: number }> {
  const { layout, nodeName, nodeIp } = options;
  const pki = await openPki(layout);
  const { certificate, privateKey } = await pki.issue({
    commonName: `system:node:${nodeName}`,
    organizations: ["system:nodes"],
    sans: [nodeName, "localhost", "127.0.0.1", nodeIp],
    usage: "server",
  });
  const kubelet = await startKubelet({
    layout,
    nodeName,
    nodeIp,
    podCidr: options.podCidr,
    kubeconfig: options.kubeconfig,
    criSocket: options.criSocket,
    tls: { cert: certificate, key: privateKey, clientCa: pki.caCertificate },
    address: "127.0.0.1",
    port: 0,
    log: options.log.child({ part: "kubelet" }),
  });
  stack.defer(() => kubelet.close());
  return { port: kubelet.port };
}
