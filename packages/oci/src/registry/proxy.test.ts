import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, request as ask } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { runCommand, silentLogger } from "@tripod/base";
import { isolateNetwork } from "@tripod/linux";
import { tempRoot, type TempRoot } from "@tripod/testing";
import { Images } from "../images.ts";
import { memoryImage, misbehavingRegistry } from "./misbehaving-registry.ts";

// The registries have names that no resolver knows: only the proxy can reach them.

const image = memoryImage(1000);
const kept = { ...process.env };
before(() => isolateNetwork());
after(() => {
  for (const name of ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"]) {
    if (kept[name] === undefined) delete process.env[name];
    else process.env[name] = kept[name];
  }
});

interface Proxy extends AsyncDisposable {
  readonly url: string;
  /** "METHOD TARGET LOGIN" of each request. */
  readonly asked: string[];
}

/** An HTTP proxy behind which every name is the registry at `target`. */
async function proxyTo(target: string): Promise<Proxy> {
  const [host = "", port = ""] = target.split(":");
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const note = ({ method, url, headers }: IncomingMessage): void =>
    void asked.push(`${method} ${url} ${headers["proxy-authorization"] ?? ""}`.trim());
  const server = createServer((request, response) => {
    note(request);
    const { pathname, search } = new URL(request.url ?? "");
    const to = ask(
      `http://${target}${pathname}${search}`,
      { method: request.method ?? "GET", headers: request.headers },
      (reply) => {
        response.writeHead(reply.statusCode ?? 500, reply.headers);
        reply.pipe(response);
      },
    );
    request.pipe(to);
  });
  server.on("connect", (request, socket: Socket) => {
    note(request);
    const tunnel = connect(Number(port), host, () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      tunnel.pipe(socket);
      socket.pipe(tunnel);
    });
    for (const each of [socket, tunnel]) {
      sockets.add(each);
      each.on("error", () => each.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://me:pw@127.0.0.1:${(server.address() as AddressInfo).port}`, // a TCP server's address
    asked,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Says in hosts.toml where registry.example is; returns the folder of that file. */
function configure(root: TempRoot, text: string): string {
  const dir = join(root.layout.certsDir, "registry.example");
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "hosts.toml"), text);
  return dir;
}

const login = `Basic ${Buffer.from("me:pw").toString("base64")}`;

test("a plain registry is asked through HTTP_PROXY, but not where NO_PROXY names it, nor on loopback", async () => {
  await using registry = await misbehavingRegistry(image);
  await using proxy = await proxyTo(registry.host);
  await using root = tempRoot();
  await using images = await Images.open({ layout: root.layout, log: silentLogger });
  configure(root, 'server = "http://registry.example"\n');
  process.env.HTTP_PROXY = proxy.url;
  await images.pull("registry.example/app");
  const paths = ["HEAD", "GET"].map((method) => `${method} http://registry.example/v2/app/manifests/`);
  for (const path of paths)
    assert.ok(
      proxy.asked.some((line) => line.startsWith(path) && line.endsWith(login)),
      proxy.asked.join("\n"),
    );
  assert.equal(proxy.asked.length, registry.requests.length);

  const before = proxy.asked.length;
  await images.pull(`${registry.host}/app`);
  assert.equal(proxy.asked.length, before, "loopback is near");
  process.env.NO_PROXY = "other.example,registry.example";
  await assert.rejects(images.pull("registry.example/app"), { code: "unavailable", message: /resolved|no such host/ });
  assert.equal(proxy.asked.length, before);
  process.env.NO_PROXY = "another.example";
  await images.pull("registry.example/app");
  assert.ok(proxy.asked.length > before);
});

test("a registry with TLS is asked through a tunnel of HTTPS_PROXY, with its own certificate checked", async () => {
  await using root = tempRoot();
  const dir = configure(root, 'server = "https://registry.example"\n');
  const pair = [
    "-keyout",
    "key.pem",
    "-out",
    "cert.pem",
    "-subj",
    "/CN=registry.example",
    "-addext",
    "subjectAltName=DNS:registry.example",
  ];
  await runCommand(
    "openssl",
    ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", ...pair],
    { cwd: dir },
  );
  const pem = (name: string): string => readFileSync(join(dir, name), "utf8");
  await using registry = await misbehavingRegistry(image, () => false, { cert: pem("cert.pem"), key: pem("key.pem") });
  await using proxy = await proxyTo(registry.host);
  await using images = await Images.open({ layout: root.layout, log: silentLogger });
  process.env.HTTPS_PROXY = proxy.url;
  await assert.rejects(images.pull("registry.example/app"), { code: "unavailable", message: /certs\.d/ });
  configure(root, 'server = "https://registry.example"\nca = "cert.pem"\n');
  await images.pull("registry.example/app");
  assert.ok(
    proxy.asked.every((line) => line === `CONNECT registry.example:443 ${login}`),
    proxy.asked.join("\n"),
  );
});
