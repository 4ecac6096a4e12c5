import { request as httpsRequest } from "node:https";
import type { IncomingMessage } from "node:http";
import { pipeline } from "node:stream/promises";
import type { Pod } from "@tripod/api/kubernetes";
import { messageOf } from "@tripod/base";
import { ApiError } from "../http/api-error.ts";
import { type Exchange, sendBytes } from "../http/reply.ts";
import type { ResourceRequest } from "../verbs/request.ts";
import { containerOf, type KubeletConnection, kubeletOf } from "./kubelet-target.ts";

const passed = ["follow", "previous", "timestamps", "tailLines", "sinceSeconds", "sinceTime", "limitBytes"];

/** GET pods/NAME/log: the container's log, streamed from its kubelet. */
export async function servePodLog(
  { http, response }: Exchange,
  request: ResourceRequest,
  options: { readonly pod: Pod; readonly kubelets: KubeletConnection },
): Promise<void> {
  const { pod, kubelets } = options;
  const container = containerOf(pod, request.query.get("container"));
  if (!pod.spec.nodeName) return sendBytes({ http, response }, Buffer.alloc(0), { contentType: "text/plain" });
  const target = await kubeletOf(pod, request.store, kubelets);
  const query = new URLSearchParams();
  for (const name of passed) {
    const value = request.query.get(name);
    if (value !== null) query.set(name, value);
  }
  const path = [pod.metadata.namespace ?? "", pod.metadata.name ?? "", container].map(encodeURIComponent).join("/");
  const url = `${target.url}/containerLogs/${path}?${query.toString()}`;
  const upstream = await new Promise<IncomingMessage>((resolve, reject) => {
    const outgoing = httpsRequest(url, { ...target.tls }, resolve);
    outgoing.once("error", (cause) =>
      reject(
        new ApiError("unavailable", {
          code: 500,
          reason: "InternalError",
          message: `Get ${JSON.stringify(url)}: ${messageOf(cause)}`,
        }),
      ),
    );
    response.once("close", () => outgoing.destroy());
    outgoing.end();
  });
  if (upstream.statusCode !== 200) throw await refusal(upstream);
  response.writeHead(200, {
    "content-type": "text/plain",
    "cache-control": "no-cache, private",
    "transfer-encoding": "chunked",
  });
  response.flushHeaders();
  await pipeline(upstream, response).catch(() => response.destroy()); // either side went away: there is nobody to tell
}

/** The longest refusal of a kubelet that is passed on, in bytes. */
const longestRefusal = 4096;

async function refusal(upstream: IncomingMessage): Promise<ApiError> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of upstream as AsyncIterable<Buffer>) {
    // no encoding is set, so chunks are Buffers
    chunks.push(chunk);
    size += chunk.length;
    if (size > longestRefusal) break;
  }
  const code = upstream.statusCode ?? 500;
  return new ApiError(code === 404 ? "not-found" : "invalid", {
    code,
    reason: code === 404 ? "NotFound" : code === 400 ? "BadRequest" : "InternalError",
    message: Buffer.concat(chunks).toString().slice(0, longestRefusal).trim(),
  });
}
