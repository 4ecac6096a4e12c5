import type { Layout, Logger } from "@tripod/base";
import type { KubeletTls } from "./server/kubelet-server.ts";

export interface KubeletOptions {
  readonly layout: Layout;
  /** The name of this machine's Node. */
  readonly nodeName: string;
  /** Path of the kubeconfig by which the API server is reached. */
  readonly kubeconfig: string;
  /** Path of the runtime's unix socket: ours, containerd's, any that speaks CRI v1. */
  readonly criSocket: string;
  /** PEM texts: what the HTTPS endpoint serves with, and the authority of its clients. */
  readonly tls: KubeletTls;
  /** Where the HTTPS endpoint listens. */
  readonly address: string;
  /** Its port; 0 takes a free one. */
  readonly port: number;
  /** The node's address, or several. */
  readonly nodeIp: string | readonly string[];
  /** The range of Pod addresses that the Node is registered with. */
  readonly podCidr?: string;
  /** Labels of the Node beside the usual ones. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Common names of client certificates that may ask the endpoint; those that API servers use, unless told. */
  readonly clientNames?: readonly string[];
  /** The cluster's name servers; none unless told, and Pods then use the host's. */
  readonly clusterDns?: readonly string[];
  /** "cluster.local" unless told. */
  readonly clusterDomain?: string;
  /** Driver by the cloud's driver that it stands in for where that is not installed: {"ebs.csi.aws.com": "loop.csi.tripod.dev"}. */
  readonly standIns?: Readonly<Record<string, string>>;
  readonly log: Logger;
}
