import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { FakeApiServer } from "./fake-api-server.ts";
import { configMaps, KubeClient, pods } from "./index.ts";

async function setUp(stack: AsyncDisposableStack): Promise<{ server: FakeApiServer; client: KubeClient }> {
  const server = stack.use(new FakeApiServer());
  const client = stack.use(new KubeClient({ server: await server.start(), namespace: "default" }));
  return { server, client };
}

const refusals: readonly (readonly [httpStatus: number, reason: string, code: string])[] = [
  [400, "BadRequest", "invalid"],
  [401, "Unauthorized", "unauthenticated"],
  [403, "Forbidden", "permission-denied"],
  [404, "NotFound", "not-found"],
  [405, "MethodNotAllowed", "unimplemented"],
  [409, "AlreadyExists", "already-exists"],
  [409, "Conflict", "conflict"],
  [410, "Expired", "out-of-range"],
  [415, "UnsupportedMediaType", "unimplemented"],
  [422, "Invalid", "invalid"],
  [429, "TooManyRequests", "exhausted"],
  [500, "InternalError", "internal"],
  [503, "ServiceUnavailable", "unavailable"],
  [504, "Timeout", "timeout"],
];
for (const [httpStatus, reason, code] of refusals)
  test(`${httpStatus} ${reason} is the error ${code}, with the server's own words`, async () => {
    await using stack = new AsyncDisposableStack();
    const { server, client } = await setUp(stack);
    server.script = (_request, response) => {
      response.writeHead(httpStatus, { "content-type": "application/json" });
      response.end(JSON.stringify({ kind: "Status", status: "Failure", reason, message: "because", code: httpStatus }));
      return true;
    };
    await assert.rejects(client.resource(pods).get("web", { namespace: "default" }), (error: Error) => {
      assert.equal((error as { code?: string }).code, code);
      assert.equal(error.message, "get pods/web in default: because");
      return true;
    });
  });

test("requests carry paths, queries, bodies and patch types as the API wants them", async () => {
  await using stack = new AsyncDisposableStack();
  const { server, client } = await setUp(stack);
  const seen: string[] = [];
  server.script = (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      seen.push(
        `${request.method} ${request.url} ${request.headers["content-type"] ?? "-"} ${Buffer.concat(chunks).toString()}`,
      );
      response.setHeader("content-type", "application/json");
      response.end("{}");
    });
    return true;
  };
  const maps = client.resource(configMaps);
  const where = { namespace: "a b" };
  await maps.create(
    { metadata: { name: "m", namespace: "n" }, data: { k: "v" } },
    { fieldManager: "me", dryRun: true },
  );
  await maps.updateStatus({ metadata: { name: "m", namespace: "n" } });
  await maps.patch("m", [{ op: "remove", path: "/data" }], { ...where, type: "json" });
  await maps.patch("m", { data: null }, { ...where, type: "apply", fieldManager: "me", force: true });
  await maps.delete("m", { ...where, gracePeriodSeconds: 0, uid: "u" });
  await client.resource(pods).createSubresource("web", "binding", { target: { name: "n1" } }, { namespace: "n" });
  const options = '{"apiVersion":"v1","kind":"DeleteOptions"';
  assert.deepEqual(seen, [
    'POST /api/v1/namespaces/n/configmaps?fieldManager=me&dryRun=All application/json {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m","namespace":"n"},"data":{"k":"v"}}',
    'PUT /api/v1/namespaces/n/configmaps/m/status application/json {"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m","namespace":"n"}}',
    'PATCH /api/v1/namespaces/a%20b/configmaps/m application/json-patch+json [{"op":"remove","path":"/data"}]',
    'PATCH /api/v1/namespaces/a%20b/configmaps/m?fieldManager=me&force=true application/apply-patch+yaml {"data":null}',
    `DELETE /api/v1/namespaces/a%20b/configmaps/m application/json ${options},"gracePeriodSeconds":0,"preconditions":{"uid":"u"}}`,
    'POST /api/v1/namespaces/n/pods/web/binding application/json {"target":{"name":"n1"}}',
  ]);
  await assert.rejects(maps.get("", where), { code: "invalid" });
});

test("find answers undefined for what is not there", async () => {
  await using stack = new AsyncDisposableStack();
  const { server, client } = await setUp(stack);
  server.script = (_request, response) => {
    response.writeHead(404).end("nothing here");
    return true;
  };
  assert.equal(await client.resource(configMaps).find("x", { namespace: "default" }), undefined);
});

test("a request that the server asks to repeat later is repeated", async () => {
  await using stack = new AsyncDisposableStack();
  const { server, client } = await setUp(stack);
  server.script = (_request, response) => {
    if (server.requests.length > 1) return false;
    response.writeHead(429, { "retry-after": "0.01" }).end();
    return true;
  };
  assert.deepEqual((await client.resource(configMaps).list({ namespace: "default" })).items, []);
  assert.equal(server.requests.length, 2);
});

test("a kept connection that the server has closed is no failure", async () => {
  await using stack = new AsyncDisposableStack();
  const { server, client } = await setUp(stack);
  const maps = client.resource(configMaps);
  await maps.list();
  server.script = (request) => {
    if (server.requests.length !== 2) return false;
    request.socket.resetAndDestroy();
    return true;
  };
  await maps.list();
  assert.equal(server.requests.length, 3);
});

test("no server, no reply in time and an aborted request are three different errors", async () => {
  await using stack = new AsyncDisposableStack();
  const { server, client } = await setUp(stack);
  const maps = client.resource(configMaps);
  server.script = () => true;
  await assert.rejects(maps.get("x", { timeoutMs: 20 }), { code: "timeout" });
  const abort = new AbortController();
  const asked = maps.get("x", { signal: abort.signal });
  abort.abort();
  await assert.rejects(asked, { code: "cancelled" });
  await server[Symbol.asyncDispose]();
  await assert.rejects(maps.get("x"), { code: "unavailable" });
});

test("a reply beyond the limit is refused", async () => {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(new FakeApiServer());
  const client = stack.use(
    new KubeClient({ server: await server.start(), namespace: "default" }, { maxReplyBytes: 1000 }),
  );
  server.put("big", { text: "x".repeat(2000) });
  await assert.rejects(client.resource(configMaps).list(), { code: "exhausted" });
});

test("a watch yields events, ends quietly on abort and throws what an ERROR event says", async () => {
  await using stack = new AsyncDisposableStack();
  const { server, client } = await setUp(stack);
  const abort = new AbortController();
  const maps = client.resource(configMaps);
  const names: string[] = [];
  const reading = (async () => {
    for await (const event of maps.watch({ resourceVersion: "0", signal: abort.signal })) {
      names.push(`${event.type} ${event.object.metadata.name}`);
      if (event.type === "DELETED") abort.abort();
    }
  })();
  await server.watched();
  server.put("ä");
  server.put("ä", { text: "y".repeat(100_000) });
  server.remove("ä");
  await reading;
  assert.deepEqual(names, ["ADDED ä", "MODIFIED ä", "DELETED ä"]);
  server.oldestVersion = 2;
  await assert.rejects(
    async () => {
      for await (const _ of maps.watch({ resourceVersion: "1" })) assert.fail("no event was due");
    },
    { code: "out-of-range" },
  );
});

test("a kubeconfig with files, a client certificate and a token reaches an HTTPS server", async () => {
  await using stack = new AsyncDisposableStack();
  const dir = mkdtempSync("/tmp/tripod-kube-");
  stack.defer(() => rmSync(dir, { recursive: true, force: true }));
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  execFileSync(
    "openssl",
    [
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:prime256v1",
      "-nodes",
      "-days",
      "1",
      ...subject,
      "-keyout",
      join(dir, "key.pem"),
      "-out",
      join(dir, "cert.pem"),
    ],
    { stdio: "ignore" },
  );
  const pem = { key: readFileSync(join(dir, "key.pem")), cert: readFileSync(join(dir, "cert.pem")) };
  const server = createServer({ ...pem, ca: pem.cert, requestCert: true }, (request, response) => {
    response.setHeader("content-type", "application/json");
    // A TLS server's sockets are TLS sockets.
    const { authorized } = request.socket as unknown as { authorized: boolean };
    response.end(JSON.stringify({ authorization: request.headers.authorization, authorized }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  stack.defer(() => void server.close());
  const { port } = server.address() as AddressInfo; // a TCP server
  const kubeconfig = (authority: string): string => `
apiVersion: v1
kind: Config
current-context: c
clusters: [{name: k, cluster: {server: "https://127.0.0.1:${port}", ${authority}}}]
contexts: [{name: c, context: {cluster: k, user: u}}]
users: [{name: u, user: {client-certificate: cert.pem, client-key-data: ${pem.key.toString("base64")}, tokenFile: token}}]
`;
  writeFileSync(join(dir, "token"), "secret\n");
  writeFileSync(join(dir, "config"), kubeconfig("certificate-authority: cert.pem"));
  const client = stack.use(KubeClient.fromKubeconfig(join(dir, "config")));
  const reply = await client.request({ method: "GET", path: "/version" });
  assert.deepEqual(reply, { authorization: "Bearer secret", authorized: true });
  writeFileSync(join(dir, "config"), kubeconfig("insecure-skip-tls-verify: false"));
  const doubtful = stack.use(KubeClient.fromKubeconfig(join(dir, "config")));
  await assert.rejects(doubtful.request({ method: "GET", path: "/version" }), { code: "unavailable" });
});
