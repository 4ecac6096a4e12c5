import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { proxyUpgrade } from "../proxy-upgrade.ts";
import type { StreamingServer } from "../server.ts";
import { selfSigned } from "./self-signed.ts";

/** Just enough of an HTTPS API server for the real kubectl to exec, attach and port-forward into one Pod, y in namespace x. */
export interface PodApi extends AsyncDisposable {
  /** A folder with a kubeconfig, and room for kubectl's cache. */
  readonly dir: string;
  readonly kubeconfig: string;
  readonly url: string;
  readonly certificate: string;
  /** "METHOD upgrade subprotocol user-agent" of each upgrade request that came. */
  readonly upgrades: string[];
}

const pod = {
  kind: "Pod",
  apiVersion: "v1",
  metadata: { name: "y", namespace: "x", uid: "0b1e", resourceVersion: "1" },
  spec: { containers: [{ name: "main", image: "busybox", stdin: true }], nodeName: "node" },
  status: { phase: "Running", containerStatuses: [{ name: "main", ready: true, state: { running: {} } }] },
};

const documents: Readonly<Record<string, unknown>> = {
  "/api": { kind: "APIVersions", versions: ["v1"] },
  "/apis": { kind: "APIGroupList", apiVersion: "v1", groups: [] },
  "/api/v1": {
    kind: "APIResourceList",
    groupVersion: "v1",
    resources: [
      { name: "pods", singularName: "pod", namespaced: true, kind: "Pod", verbs: ["get", "list"], shortNames: ["po"] },
      { name: "pods/exec", singularName: "", namespaced: true, kind: "PodExecOptions", verbs: ["create", "get"] },
      { name: "pods/attach", singularName: "", namespaced: true, kind: "PodAttachOptions", verbs: ["create", "get"] },
      {
        name: "pods/portforward",
        singularName: "",
        namespaced: true,
        kind: "PodPortForwardOptions",
        verbs: ["create", "get"],
      },
    ],
  },
  "/api/v1/namespaces/x/pods/y": pod,
};

/** Starts the server in front of `streaming`. */
export async function startPodApi(streaming: StreamingServer): Promise<PodApi> {
  const dir = mkdtempSync(join(tmpdir(), "tripod-streaming-"));
  const { cert, key } = await selfSigned(dir);
  const upgrades: string[] = [];
  const server = createServer({ cert, key }, (request, response) => {
    const found = documents[new URL(request.url ?? "/", "https://h").pathname];
    response.writeHead(found === undefined ? 404 : 200, { "content-type": "application/json" });
    response.end(
      JSON.stringify(found ?? { kind: "Status", apiVersion: "v1", status: "Failure", reason: "NotFound", code: 404 }),
    );
  });
  server.on("upgrade", (request, socket, head) => {
    const { headers, method } = request;
    const protocol = headers["sec-websocket-protocol"] ?? String(headers["x-stream-protocol-version"]);
    upgrades.push(`${method} ${headers.upgrade} ${protocol} ${headers["user-agent"]}`);
    void proxyUpgrade(request, socket, head, { url: announce(streaming, request.url ?? "/") });
  });
  // kubectl leaves connections behind whose TLS never began: the HTTP server does not know them.
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`; // it listens on TCP
  const kubeconfig = join(dir, "kubeconfig");
  const config = {
    apiVersion: "v1",
    kind: "Config",
    "current-context": "t",
    clusters: [
      { name: "t", cluster: { server: url, "certificate-authority-data": Buffer.from(cert).toString("base64") } },
    ],
    users: [{ name: "t", user: { token: "test" } }],
    contexts: [{ name: "t", context: { cluster: "t", user: "t", namespace: "x" } }],
  };
  writeFileSync(kubeconfig, JSON.stringify(config));
  return { dir, kubeconfig, url, upgrades, certificate: cert, [Symbol.asyncDispose]: () => stop(server, sockets, dir) };
}

async function stop(server: Server, sockets: ReadonlySet<Socket>, dir: string): Promise<void> {
  for (const socket of sockets) socket.destroy();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  rmSync(dir, { recursive: true, force: true });
}

function announce(streaming: StreamingServer, path: string): string {
  const { pathname, searchParams } = new URL(path, "https://h");
  const flag = (name: string): boolean => ["1", "true"].includes(searchParams.get(name) ?? "");
  const streams = {
    containerId: searchParams.get("container") ?? "main",
    tty: flag("tty"),
    stdin: flag("stdin"),
    stdout: flag("stdout"),
    stderr: flag("stderr") && !flag("tty"),
  };
  if (pathname.endsWith("/exec")) return streaming.urlForExec({ ...streams, cmd: searchParams.getAll("command") });
  if (pathname.endsWith("/attach")) return streaming.urlForAttach(streams);
  return streaming.urlForPortForward({ podSandboxId: "y", port: searchParams.getAll("ports").map(Number) });
}
