import type { Node, Pod } from "@tripod/api/kubernetes";
import type { ClientTls } from "@tripod/streaming";
import { ApiError, badRequest } from "../http/api-error.ts";
import type { ObjectStore } from "../registry/object-store.ts";

/** Where a node's kubelet is reached: by default its InternalIP and the port that it reports. */
export type KubeletAddress = (node: Node) => { readonly host: string; readonly port: number } | undefined;

export interface KubeletConnection {
  readonly address: KubeletAddress | undefined;
  readonly tls: ClientTls;
}

const nodes = { group: "", plural: "nodes", storageName: "nodes", namespaced: false } as const;

/** The kubelet that runs the Pod, as an URL without a path. */
export function kubeletOf(
  pod: Pod,
  store: ObjectStore,
  connection: KubeletConnection,
): { readonly url: string; readonly tls: ClientTls } {
  const name = pod.spec?.nodeName;
  if (!name) throw badRequest(`pod ${pod.metadata.name} does not have a host assigned`);
  const node = store.find(nodes, undefined, name) as Node | undefined; // stored under that resource
  if (node === undefined)
    throw new ApiError(
      "unavailable",
      503,
      "ServiceUnavailable",
      `node ${name}, which runs pod ${pod.metadata.name}, is gone`,
    );
  const reported = {
    host: node.status?.addresses?.find((each) => each.type === "InternalIP")?.address ?? name,
    port: node.status?.daemonEndpoints?.kubeletEndpoint?.Port ?? 10250,
  };
  const { host, port } = connection.address?.(node) ?? reported;
  return {
    url: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
    tls: { ...connection.tls, servername: name },
  };
}

/** The container that a request means: the one it names, else the only one, else the one that the annotation names. */
export function containerOf(pod: Pod, asked: string | null): string {
  const all = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])].map((each) => each.name);
  if (asked) {
    if (!all.includes(asked)) throw badRequest(`container ${asked} is not valid for pod ${pod.metadata.name}`);
    return asked;
  }
  const [only, ...others] = (pod.spec?.containers ?? []).map((each) => each.name);
  const preferred = pod.metadata.annotations?.["kubectl.kubernetes.io/default-container"];
  if (preferred !== undefined && all.includes(preferred)) return preferred;
  if (only === undefined || others.length > 0) {
    throw badRequest(
      `a container name must be specified for pod ${pod.metadata.name}, choose one of: [${[only, ...others].join(" ")}]`,
    );
  }
  return only;
}
