import { request as httpsRequest } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import type { Pod } from "@tripod/api/kubernetes";
import { messageOf } from "@tripod/base";
import { ApiError } from "../http/api-error.ts";
import { sendBytes } from "../http/reply.ts";
import type { ResourceRequest } from "../verbs/request.ts";
import { containerOf, type KubeletConnection, kubeletOf } from "./kubelet-target.ts";

const passed = ["follow", "previous", "timestamps", "tailLines", "sinceSeconds", "sinceTime", "limitBytes"];

/** GET pods/NAME/log: the container's log, streamed from its kubelet. */
export async function servePodLog(
  http: IncomingMessage,
  response: ServerResponse,
  request: ResourceRequest,
  pod: Pod,
  connection: KubeletConnection,
): Promise<void> {
  const container = containerOf(pod, request.query.get("container"));
  if (!pod.spec?.nodeName) return sendBytes(http, response, Buffer.alloc(0), { contentType: "text/plain" });
  const target = kubeletOf(pod, request.store, connection);
  const query = new URLSearchParams();
  for (const name of passed) {
    const value = request.query.get(name);
    if (value !== null) query.set(name, value);
  }
  const url = `${target.url}/containerLogs/${pod.metadata.namespace}/${pod.metadata.name}/${container}?${query}`;
  const upstream = await new Promise<IncomingMessage>((resolve, reject) => {
    const outgoing = httpsRequest(url, { ...target.tls }, resolve);
    outgoing.once("error", (cause) =>
      reject(new ApiError("unavailable", 500, "InternalError", `Get ${JSON.stringify(url)}: ${messageOf(cause)}`)),
    );
    response.once("close", () => outgoing.destroy());
    outgoing.end();
  });
  if (upstream.statusCode !== 200) {
    const chunks = await Array.fromAsync(upstream as AsyncIterable<Buffer>);
    const code = upstream.statusCode ?? 500;
    throw new ApiError(
      code === 404 ? "not-found" : "invalid",
      code,
      code === 404 ? "NotFound" : "BadRequest",
      Buffer.concat(chunks).toString().slice(0, 4096).trim(),
    );
  }
  response.writeHead(200, {
    "content-type": "text/plain",
    "cache-control": "no-cache, private",
    "transfer-encoding": "chunked",
  });
  response.flushHeaders();
  await pipeline(upstream, response).catch(() => response.destroy()); // either side went away: there is nobody to tell
}
