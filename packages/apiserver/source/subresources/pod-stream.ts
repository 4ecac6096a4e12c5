import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { Pod } from "@tripod/api/kubernetes";
import { proxyUpgrade } from "@tripod/streaming";
import type { ResourceRequest } from "../verbs/request.ts";
import { containerOf, type KubeletConnection, kubeletOf } from "./kubelet-target.ts";

/** How a subresource's parameters are called on the kubelet's side. */
const renamed: Readonly<Record<string, string>> = { stdin: "input", stdout: "output", stderr: "error" };

/** exec, attach and portforward: the upgraded connection is tunnelled to the Pod's kubelet as it is. */
export function servePodStream(
  http: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  request: ResourceRequest,
  pod: Pod,
  connection: KubeletConnection,
): void {
  const { subresource, query } = request;
  const target = kubeletOf(pod, request.store, connection);
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
  void proxyUpgrade(http, socket, head, { url: `${target.url}${path}?${parameters}`, tls: target.tls });
}
