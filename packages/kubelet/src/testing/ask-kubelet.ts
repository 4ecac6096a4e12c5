import { request } from "node:https";
import type { TestCluster } from "./test-cluster.ts";

/** Whose certificate a caller shows: the API server's, one of another authority, or none. */
export type Caller = "client" | "stranger" | "nobody";

/** One request to the kubelet's endpoint, as the API server makes it unless told. */
export function askKubelet(
  { certificates, kubelet }: TestCluster,
  path: string,
  as: Caller = "client",
  method: "GET" | "POST" = "GET",
): Promise<{ status: number; body: string }> {
  const { ca, clientCert, clientKey, strangerCert, strangerKey } = certificates;
  const identities = {
    client: { cert: clientCert, key: clientKey },
    stranger: { cert: strangerCert, key: strangerKey },
    nobody: {},
  };
  return new Promise((resolve, reject) => {
    const call = request(
      { host: "127.0.0.1", port: kubelet.port, path, method, ca, agent: false, ...identities[as] },
      (reply) => {
        const chunks: Buffer[] = [];
        reply.on("data", (chunk: Buffer) => chunks.push(chunk));
        reply.on("end", () => resolve({ status: reply.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
      },
    );
    call.on("error", reject);
    call.end();
  });
}
