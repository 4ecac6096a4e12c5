import type { Node, Pod } from "@tripod/api/kubernetes";
import type { ClientTls } from "@tripod/streaming";
import { ApiError, badRequest } from "../http/api-error.ts";
import type { ObjectStore } from "../registry/object-store.ts";
import { nodes } from "../resources/node.ts";

/** Where a node's kubelet is reached; undefined: where the Node itself says. */
export type KubeletAddress = (node: Node) => { readonly host: string; readonly port: number } | undefined;

export interface KubeletConnection {
  readonly address: KubeletAddress | undefined;
  /** Whom we trust and how we show ourselves. */
  readonly tls: ClientTls;
}

export interface KubeletTarget {
  /** https://HOST:PORT. */
  readonly url: string;
  readonly tls: ClientTls;
}

const defaultPort = 10_250;

/** The kubelet that runs a Pod. */
export async function kubeletOf(pod: Pod, store: ObjectStore, connection: KubeletConnection): Promise<KubeletTarget> {
  const name = pod.spec.nodeName;
  if (!name) throw badRequest(`pod ${pod.metadata.name} does not have a host assigned`);
  const node = (await store.find<Node>(nodes, undefined, name))?.object;
  if (node === undefined)
    throw new ApiError("unavailable", {
      code: 503,
      reason: "ServiceUnavailable",
      message: `node ${JSON.stringify(name)} of pod ${JSON.stringify(pod.metadata.name)} is gone`,
    });
  const { addresses = [], daemonEndpoints } = node.status ?? {};
  const reported = {
    host: (addresses.find((each) => each.type === "InternalIP") ?? addresses[0])?.address ?? name,
    port: daemonEndpoints?.kubeletEndpoint?.Port || defaultPort,
  };
  const { host, port } = connection.address?.(node) ?? reported;
  return {
    url: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    tls: { ...connection.tls, servername: name },
  };
}

/** The container that a request means: the one it names, else the annotated one, else the only one. */
export function containerOf({ metadata, spec }: Pod, asked: string | null): string {
  const names = [...spec.containers, ...(spec.initContainers ?? [])].map((each) => each.name);
  if (asked) {
    if (!names.includes(asked)) throw badRequest(`container ${asked} is not valid for pod ${metadata.name}`);
    return asked;
  }
  const preferred = metadata.annotations?.["kubectl.kubernetes.io/default-container"];
  if (preferred !== undefined && names.includes(preferred)) return preferred;
  const [only, ...others] = spec.containers.map((each) => each.name);
  if (only === undefined || others.length > 0)
    throw badRequest(
      `a container name must be specified for pod ${metadata.name}, choose one of: [${[only, ...others].join(" ")}]`,
    );
  return only;
}
