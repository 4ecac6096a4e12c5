import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import type { HTTPHeader } from "@tripod/api/kubernetes";

/** The most of a reply's body that is kept for a message. */
const maxBodyBytes = 10 * 1024;

export interface HttpGetOptions {
  readonly headers: readonly HTTPHeader[];
  readonly timeoutMs: number;
  readonly userAgent: string;
  readonly signal?: AbortSignal;
}

/** One GET without keep-alive and without a look at the certificate: a kubelet's probe or hook. */
export function httpGet(
  url: URL,
  options: HttpGetOptions,
): Promise<{ readonly status: number; readonly body: string }> {
  const headers: Record<string, string | string[]> = { "user-agent": options.userAgent, accept: "*/*" };
  for (const { name, value } of options.headers) headers[name.toLowerCase()] = value ?? "";
  const timeout = AbortSignal.timeout(options.timeoutMs);
  const signal = options.signal === undefined ? timeout : AbortSignal.any([timeout, options.signal]);
  return new Promise((resolve, reject) => {
    const send = url.protocol === "https:" ? requestHttps : requestHttp;
    const call = send(url, { headers, agent: false, signal, rejectUnauthorized: false }, (reply) => {
      const chunks: Buffer[] = [];
      let size = 0;
      const done = (): void => {
        resolve({ status: reply.statusCode ?? 0, body: Buffer.concat(chunks).toString("utf8").slice(0, maxBodyBytes) });
      };
      reply.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        size += chunk.length;
        if (size >= maxBodyBytes) {
          done();
          reply.destroy();
        }
      });
      reply.on("end", done);
      reply.on("error", reject);
    });
    call.on("error", (error) => {
      reject(timeout.aborted ? new Error(`Get "${url.href}": no answer within ${options.timeoutMs / 1000}s`) : error);
    });
    call.end();
  });
}
