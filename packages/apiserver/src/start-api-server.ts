import { createServer, type Server } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { join } from "node:path";
import { setInterval } from "node:timers/promises";
import { type Layout, type Logger, TaskOwner } from "@tripod/base";
import { TokenSigner } from "./auth/service-account-token.ts";
import { ApiHandler } from "./http/api-handler.ts";
import { listenError } from "./http/listen-error.ts";
import { keepKubeletClientCertificate, keepServingCertificate, writeKubeconfigs } from "./pki/credentials.ts";
import { openPki } from "./pki/pki.ts";
import { ObjectStore } from "./registry/object-store.ts";
import { Registry } from "./registry/registry.ts";
import { allResources } from "./resources/all-resources.ts";
import { expireEvents } from "./resources/expire-events.ts";
import { seed } from "./resources/seed.ts";
import { SqliteStorage } from "./storage/sqlite-storage.ts";
import type { Storage } from "./storage/storage.ts";
import type { KubeletAddress } from "./subresources/kubelet-target.ts";

export interface ApiServerOptions {
  readonly layout: Layout;
  /** Where to listen: "127.0.0.1", say. */
  readonly address: string;
  /** 0: any free one. */
  readonly port: number;
  /** The node for whose kubelet credentials are written. */
  readonly nodeName: string;
  readonly log: Logger;
  /** Where a kubelet is reached; where its Node says, unless told. */
  readonly kubeletAddress?: KubeletAddress;
  /** Where objects are kept: SQLite in layout.apiserverDir unless told. Closed with the server. */
  readonly storage?: Storage;
}

export interface ApiServer {
  readonly url: string;
  readonly port: number;
  close(): Promise<void>;
}

const expireEveryMs = 60_000;
const idleTimeoutMs = 120_000;

function listen(server: Server, port: number, address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const refuse = (cause: NodeJS.ErrnoException): void => reject(listenError(`${address}:${port}`, cause));
    server.once("error", refuse);
    server.listen(port, address, () => {
      server.off("error", refuse);
      resolve((server.address() as AddressInfo).port); // it listens on TCP
    });
  });
}

/** Starts the API server, with its storage, its PKI, and the kubeconfigs of those who use it. */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { layout, address, log, nodeName } = options;
  await using stack = new AsyncDisposableStack();
  const storage = stack.use(options.storage ?? SqliteStorage.open(join(layout.apiserverDir, "state.db"), { log }));
  const pki = await openPki(layout);
  const store = new ObjectStore(storage);
  await seed(store, pki.caCertificate);
  const serving = await keepServingCertificate(pki, address);
  const client = await keepKubeletClientCertificate(pki);
  const background = stack.use(new TaskOwner("API server", log));
  const handler = new ApiHandler({
    store,
    registry: new Registry(allResources(pki.caCertificate)),
    tokens: new TokenSigner(pki.tokenKey),
    kubelets: {
      address: options.kubeletAddress,
      tls: { ca: pki.caCertificate, cert: client.certificate, key: client.privateKey },
    },
    log,
    signal: background.signal,
  });
  const server = createServer({
    cert: serving.certificate,
    key: serving.privateKey,
    ca: pki.caCertificate,
    requestCert: true,
    // Whoever shows a wrong certificate is told so by a 401; whoever shows none may have a token.
    rejectUnauthorized: false,
    minVersion: "TLSv1.2",
    // exec, attach and port-forward leave HTTP by an upgrade, which HTTP/2 does not have.
    ALPNProtocols: ["http/1.1"],
    keepAliveTimeout: idleTimeoutMs,
    requestTimeout: idleTimeoutMs,
  });
  server.on("request", (http, response) => void handler.onRequest(http, response));
  server.on("upgrade", (http, socket, head) => void handler.onUpgrade(http, socket, head));
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  const port = await listen(server, options.port, address);
  stack.defer(async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    // Watches end in the ordinary way; what does not is cut.
    const stopped = background.stop();
    await new Promise(setImmediate);
    server.closeAllConnections();
    // Also those that never got as far as a request.
    for (const socket of sockets) socket.destroy();
    await Promise.all([closed, stopped]);
  });
  const url = `https://${address.includes(":") ? `[${address}]` : address}:${port}`;
  await writeKubeconfigs(pki, layout, { server: url, nodeName });
  background.run("expire events", async (signal) => {
    for await (const _ of setInterval(expireEveryMs, undefined, { signal })) await expireEvents(store);
  });
  const owned = stack.move();
  log.info({ url }, "API server listens");
  return { url, port, close: () => owned.disposeAsync() };
}
