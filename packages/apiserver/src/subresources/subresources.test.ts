import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { connect, TLSSocket } from "node:tls";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { parse } from "yaml";
import { openPki } from "../pki/pki.ts";
import { TestServer, testPod } from "../testing/test-server.ts";

const pods = "/api/v1/namespaces/default/pods";
let server: TestServer;
/** A kubelet that tells what it was asked: logs as text, upgrades by echoing every byte. */
let kubelet: Server;
let kubeletPort = 0;
const seen: string[] = [];
let followed: IncomingMessage | undefined;

before(async () => {
  server = await TestServer.start({
    kubeletAddress: (node) => (node.metadata.name === "node-a" ? { host: "127.0.0.1", port: kubeletPort } : undefined),
  });
  const pki = await openPki(server.layout);
  const { certificate, privateKey } = await pki.issue({
    commonName: "system:node:node-a",
    sans: ["node-a"],
    usage: "server",
  });
  kubelet = createServer({
    cert: certificate,
    key: privateKey,
    ca: pki.caCertificate,
    requestCert: true,
    rejectUnauthorized: true,
  });
  kubelet.on("request", (request, response) => {
    assert.ok(request.socket instanceof TLSSocket);
    seen.push(`${request.method} ${request.url} by ${String(request.socket.getPeerCertificate().subject.CN)}`);
    if (request.url?.includes("previous=true"))
      response.writeHead(400).end('previous terminated container "main" not found\n');
    else if (request.url?.includes("follow=true")) {
      followed = request;
      response.write("first\n");
    } else response.end("one\ntwo\n");
  });
  kubelet.on("upgrade", (request, socket) => {
    seen.push(`${request.method} ${request.url}`);
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${request.headers.upgrade}\r\n\r\n`,
    );
    socket.pipe(socket);
  });
  kubelet.listen(0, "127.0.0.1");
  await once(kubelet, "listening");
  kubeletPort = (kubelet.address() as AddressInfo).port; // it listens on TCP
  await server.post("/api/v1/nodes", { kind: "Node", apiVersion: "v1", metadata: { name: "node-a" } });
  await server.post(pods, testPod("one", { nodeName: "node-a" }));
  await server.post(
    pods,
    testPod("two", {
      nodeName: "node-a",
      containers: [
        { name: "a", image: "i:1" },
        { name: "b", image: "i:1" },
      ],
    }),
  );
  await server.post(pods, testPod("waiting"));
  await server.post(pods, testPod("lost", { nodeName: "node-z" }));
});
after(async () => {
  kubelet.closeAllConnections();
  kubelet.close();
  await server[Symbol.asyncDispose]();
});

test("a log comes from the Pod's kubelet, asked for by the API server's own name", async () => {
  const log = await server.get(`${pods}/one/log?tailLines=2&timestamps=true`);
  assert.equal(log.text, "one\ntwo\n");
  assert.equal(log.headers["content-type"], "text/plain");
  assert.equal(
    seen.at(-1),
    "GET /containerLogs/default/one/main?timestamps=true&tailLines=2 by kube-apiserver-kubelet-client",
  );
  assert.equal((await server.get(`${pods}/two/log?container=b`)).code, 200);
  assert.match(seen.at(-1) ?? "", /containerLogs\/default\/two\/b/);
});

test("what the kubelet refuses arrives as a Status, and so does what cannot be asked for", async () => {
  const refused = await server.get(`${pods}/one/log?previous=true`);
  assert.equal(refused.code, 400);
  assert.equal(refused.body.message, 'previous terminated container "main" not found');
  const which = await server.get(`${pods}/two/log`);
  assert.equal(which.code, 400);
  assert.equal(which.body.message, "a container name must be specified for pod two, choose one of: [a b]");
  assert.equal((await server.get(`${pods}/two/log?container=c`)).body.message, "container c is not valid for pod two");
  assert.equal((await server.get(`${pods}/none/log`)).code, 404);
  assert.equal((await server.get(`${pods}/waiting/log`)).text, "");
  assert.equal((await server.get(`${pods}/lost/log`)).code, 503);
});

test("a followed log flows at once, and ends at the kubelet when the client goes", async () => {
  const response = await server.open("GET", `${pods}/one/log?follow=true`);
  const [chunk] = (await once(response, "data")) as [Buffer];
  assert.equal(chunk.toString(), "first\n");
  assert.ok(followed);
  const ended = once(followed.socket, "close");
  response.destroy();
  await ended;
});

/** Opens a raw connection as the administrator, and sends an upgrade request. */
async function upgrade(path: string): Promise<TLSSocket> {
  const config = parse(readFileSync(server.layout.kubeconfig, "utf8"));
  const pem = (text: string): string => Buffer.from(text, "base64").toString();
  const { user } = config.users[0];
  const socket = connect({
    host: "127.0.0.1",
    port: server.port,
    ca: pem(config.clusters[0].cluster["certificate-authority-data"]),
    cert: pem(user["client-certificate-data"]),
    key: pem(user["client-key-data"]),
  });
  await once(socket, "secureConnect");
  socket.write(
    `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n\r\n`,
  );
  return socket;
}

async function readUntil(socket: TLSSocket, wanted: RegExp): Promise<string> {
  let text = "";
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    text += chunk.toString();
    if (wanted.test(text)) break;
  }
  return text;
}

for (const [why, path, wanted] of [
  [
    "exec",
    `${pods}/two/exec?container=a&command=sh&command=-c&command=echo+x&stdin=true&stdout=true&tty=true`,
    "POST /exec/default/two/a?command=sh&command=-c&command=echo+x&input=1&output=1&tty=1",
  ],
  ["attach", `${pods}/one/attach?stdout=true`, "POST /attach/default/one/main?output=1"],
  ["port-forward", `${pods}/one/portforward?ports=80`, "POST /portForward/default/one?port=80"],
] as const)
  test(`${why} is tunnelled to the kubelet byte by byte`, async () => {
    const socket = await upgrade(path);
    socket.write("ping");
    const text = await readUntil(socket, /ping/);
    assert.match(text, /^HTTP\/1\.1 101 /);
    assert.equal(seen.at(-1), wanted);
    socket.destroy();
  });

test("an upgrade that cannot be is a Status", async () => {
  for (const [path, code] of [
    [`${pods}/none/exec?command=x`, 404],
    [`${pods}/two/exec?command=x`, 400],
    [`${pods}/one/log`, 400],
    ["/api/v1/namespaces/default/configmaps/x/exec", 400],
  ] as const) {
    const text = await readUntil(await upgrade(path), /\}$/);
    assert.match(text, new RegExp(`^HTTP/1\\.1 ${code} [^]*"kind":"Status"`));
  }
});
