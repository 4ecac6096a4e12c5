import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { Pod } from "@tripod/api/kubernetes";
import { proxyUpgrade } from "@tripod/streaming";
import type { ResourceRequest } from "../verbs/request.ts";
import { containerOf, type KubeletConnection, kubeletOf } from "./kubelet-target.ts";

/** A request to leave HTTP: its connection, and what was already read of what follows. */
export interface Upgrade {
  readonly http: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
}

/** How a subresource's parameters are called on the kubelet's side. */
const renamed: Readonly<Record<string, string>> = { stdin: "input", stdout: "output", stderr: "error" };

/** exec, attach and portforward: the upgraded connection is tunnelled to the Pod's kubelet as it is. */
export async function servePodStream(
  upgrade: Upgrade,
  request: ResourceRequest,
  options: { readonly pod: Pod; readonly kubelets: KubeletConnection },
): Promise<void> {
  const { pod, kubelets } = options;
  const { subresource, query } = request;
  const target = await kubeletOf(pod, request.store, kubelets);
  const names = `${encodeURIComponent(pod.metadata.namespace ?? "")}/${encodeURIComponent(pod.metadata.name ?? "")}`;
  const parameters = new URLSearchParams();
  let path = `/portForward/${names}`;
  if (subresource === "portforward")
    for (const [name, value] of query) parameters.append(name === "ports" ? "port" : name, value);
  else {
    path = `/${subresource}/${names}/${encodeURIComponent(containerOf(pod, query.get("container")))}`;
    for (const [name, value] of query) {
      const isTrue = value === "true" || value === "1";
      if (name === "command") parameters.append("command", value);
      else if (name === "tty" && isTrue) parameters.set("tty", "1");
      else if (renamed[name] !== undefined && isTrue) parameters.set(renamed[name], "1");
    }
  }
  const to = { url: `${target.url}${path}?${parameters.toString()}`, tls: target.tls };
  await proxyUpgrade(upgrade.http, upgrade.socket, upgrade.head, to, { signal: request.signal });
}
