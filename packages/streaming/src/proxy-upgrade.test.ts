import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, connect } from "node:net";
import type { Duplex } from "node:stream";
import { after, before, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { proxyUpgrade, type UpgradeTarget } from "./proxy-upgrade.ts";
import { selfSigned } from "./testing/self-signed.ts";

const listen = async (server: Server): Promise<number> => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port; // it listens on TCP
};

let upstream: Server;
let proxy: Server;
let proxyPort: number;
let upstreamPort: number;
let seen: { method: string | undefined; headers: IncomingHttpHeaders } | undefined;
let target: string;
let tls: UpgradeTarget["tls"];
const sockets = new Set<Duplex>();
before(async () => {
  upstream = createServer();
  upstream.on("upgrade", (request, socket) => {
    seen = { method: request.method, headers: request.headers };
    if (request.url === "/refuse") {
      const body = "why not\n";
      socket.write(
        `HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n${body}\r\n0\r\n\r\n`,
      );
      socket.on("data", (more: Buffer) => socket.write(`upstream got ${more.toString()}`));
      return;
    }
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Picked: v4\r\n\r\nfirst ",
    );
    socket.pipe(socket);
  });
  upstreamPort = await listen(upstream);
  proxy = createServer();
  proxy.on("upgrade", (request, socket, head) => {
    void proxyUpgrade(request, socket, head, {
      url: target,
      headers: { "x-remote-user": "kubelet" },
      ...(tls === undefined ? {} : { tls }),
    });
  });
  proxyPort = await listen(proxy);
  for (const server of [upstream, proxy]) server.on("connection", (socket) => sockets.add(socket));
});
after(async () => {
  for (const socket of sockets) socket.destroy();
  for (const server of [proxy, upstream]) await new Promise<void>((resolve) => server.close(() => resolve()));
});

/** Sends `request` raw and collects everything until the connection ends. */
async function exchange(request: string, more: string[] = []): Promise<string> {
  const socket = connect(proxyPort, "127.0.0.1");
  socket.on("error", () => {});
  let text = "";
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString();
    const next = more.shift();
    if (next === "END") socket.end();
    else if (next !== undefined) socket.write(next);
  });
  socket.write(request);
  await once(socket, "close");
  return text;
}

const head = (method: string, extra = ""): string =>
  `${method} /exec HTTP/1.1\r\nHost: api\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nAuthorization: Bearer secret\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\nX-Remote-User: admin\r\n${extra}\r\n`;

for (const method of ["GET", "POST"]) {
  test(`a ${method} is upgraded and joined byte by byte, without the client's credentials`, async () => {
    target = `http://127.0.0.1:${upstreamPort}/ok`;
    const text = await exchange(`${head(method)}early `, ["END"]);
    assert.match(text, /^HTTP\/1\.1 101 Switching Protocols\r\n/);
    assert.match(text, /X-Picked: v4\r\n/);
    assert.match(text, /\r\n\r\nfirst early $/);
    assert.equal(seen?.method, method);
    assert.equal(seen.headers.authorization, undefined);
    assert.equal(seen.headers["x-remote-user"], "kubelet");
    assert.equal(seen.headers["x-stream-protocol-version"], "v4.channel.k8s.io");
  });
}

test("an answer other than 101 arrives with its body, and nothing more reaches the upstream", async () => {
  target = `http://127.0.0.1:${upstreamPort}/refuse`;
  const text = await exchange(`${head("POST")}smuggled`, ["GET /secret HTTP/1.1\r\n\r\n"]);
  assert.match(text, /^HTTP\/1\.1 403 Forbidden\r\n[^]*Connection: close\r\n\r\nwhy not\n$/);
});

test("an upstream that cannot be reached is a 502 that says why", async () => {
  target = "http://127.0.0.1:1/";
  assert.match(await exchange(head("GET")), /^HTTP\/1\.1 502 [^]*ECONNREFUSED/);
});

test("a TLS upstream is verified, and given our certificate", async () => {
  const dir = mkdtempSync("/tmp/tripod-streaming-");
  const { cert, key } = await selfSigned(dir);
  rmSync(dir, { recursive: true });
  const secure = createHttpsServer({ cert, key, ca: cert, requestCert: true, rejectUnauthorized: true });
  secure.on("upgrade", (_request, socket) => {
    const { subject } = (socket as TLSSocket).getPeerCertificate(); // it is an HTTPS server's
    socket.end(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\nhello ${String(subject.CN)}`,
    );
  });
  secure.on("connection", (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => secure.listen(0, "127.0.0.1", resolve));
  target = `https://127.0.0.1:${(secure.address() as AddressInfo).port}/exec`; // it listens on TCP
  tls = { ca: cert, cert, key };
  assert.match(await exchange(head("GET")), /^HTTP\/1\.1 101 [^]*hello 127\.0\.0\.1$/);
  tls = { cert, key };
  assert.match(await exchange(head("GET")), /^HTTP\/1\.1 502 [^]*self-signed/);
  tls = { ca: cert };
  assert.match(await exchange(head("GET")), /^HTTP\/1\.1 502 /, "without a certificate the upstream refuses us");
  tls = undefined;
  await new Promise<void>((resolve) => secure.close(() => resolve()));
});

test("an upgrade request with a body is refused", async () => {
  target = `http://127.0.0.1:${upstreamPort}/ok`;
  assert.match(await exchange(`${head("POST", "Content-Length: 4\r\n")}body`), /^HTTP\/1\.1 400 /);
});
