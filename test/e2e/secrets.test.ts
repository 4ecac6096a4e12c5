import assert from "node:assert/strict";
import { chmodSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, request as ask, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { type AuthConfigSchema, ImageService } from "@tripod/api/cri";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { messageOf } from "@tripod/base";
import { GrpcChannel } from "@tripod/grpc";
import { removeCgroup, isolateNetwork } from "@tripod/linux";
import { runCommand } from "@tripod/base";
import {
  pushBusybox,
  startCriProcess,
  startRegistry,
  type TempRoot,
  tempRoot,
  type TestRegistry,
} from "@tripod/testing";

// Logins of every kind go through every place where they could be told: answers that repeat them, redirects, mirrors, proxies, programs.
// Afterwards none of them is anywhere: not in what callers were told, in no file (logs, spans, records), on no command line.

const secrets = {
  password: "pw-5f1c0ffee",
  token: "bearer-77aa21bb",
  identity: "refresh-90ddcc31",
  registry: "registry-token-1e55",
  signature: "signed-3b9a",
  header: "mirror-header-8d2e",
  proxy: "proxy-pw-41f0",
  url: "url-pw-6c3d",
};
const forms = Object.values(secrets).flatMap((secret) => [
  secret,
  Buffer.from(`me:${secret}`).toString("base64").replace(/=+$/, ""),
]);
/** Which secrets a text holds, in clear or as base64 of a login. */
const secretsIn = (text: string): string[] => forms.filter((form) => text.includes(form));

const owned = new AsyncDisposableStack();
let root: TempRoot;
let behind: TestRegistry;
let front: Server;
let host: string;
const onCommandLines: string[] = [];
const said: string[] = [];
let proxied = 0;

function answer(response: ServerResponse, status: number, body: string, headers: Record<string, string> = {}): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(body);
}

/** A registry before the real one, which wants a login and tells it to everybody. */
function serve(request: IncomingMessage, response: ServerResponse): void {
  onCommandLines.push(...commandLines().flatMap(secretsIn));
  const { authorization = "" } = request.headers;
  const path = request.url ?? "/";
  const bearer = { "www-authenticate": `Bearer realm="http://${host}/token?secret=${secrets.signature}",service="s"` };
  const repeated = JSON.stringify({ errors: [{ code: "DENIED", message: `you sent ${authorization}` }] });
  if (path.startsWith("/token")) {
    const refused = path.includes("refused");
    answer(response, refused ? 401 : 200, refused ? repeated : JSON.stringify({ token: secrets.token }));
  } else if (path.startsWith("/v2/basic/")) {
    if (authorization === `Basic ${Buffer.from(`me:${secrets.password}`).toString("base64")}`)
      passOn(request, response);
    else answer(response, 401, "{}", { "www-authenticate": 'Basic realm="x"' });
  } else if (path.startsWith("/v2/bearer/") || path.startsWith("/v2/refused/")) {
    if (authorization === `Bearer ${secrets.token}`) passOn(request, response);
    else answer(response, 401, "{}", bearer);
  } else if (path.startsWith("/v2/bearer-repeats/")) {
    if (authorization === `Bearer ${secrets.token}`) answer(response, 403, repeated);
    else answer(response, 401, "{}", bearer);
  } else if (path.startsWith("/v2/repeats/")) {
    if (authorization === "") answer(response, 401, "{}", { "www-authenticate": 'Basic realm="x"' });
    else answer(response, 403, repeated);
  } else if (path.startsWith("/v2/moved/")) {
    answer(response, 307, "", { location: `http://127.0.0.1:1${path}?X-Signature=${secrets.signature}` });
  } else answer(response, 404, repeated);
}

function passOn(request: IncomingMessage, response: ServerResponse): void {
  const path = (request.url ?? "").replace(/^\/v2\/[^/]+\//, "/v2/");
  const { accept = "*/*" } = request.headers;
  const to = ask(`http://${behind.host}${path}`, { method: request.method ?? "GET", headers: { accept } }, (reply) => {
    response.writeHead(reply.statusCode ?? 500, reply.headers);
    reply.pipe(response);
  });
  to.on("error", () => response.destroy());
  to.end();
}

/** Those of every process here, but for the test's own. */
function commandLines(): string[] {
  return readdirSync("/proc").flatMap((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return [];
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8");
    } catch {
      return []; // it has ended
    }
  });
}

function filesBelow(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: "utf8" })
    .map((name) => join(dir, name))
    .filter((path) => lstatSync(path).isFile());
}

before(async () => {
  isolateNetwork();
  root = owned.use(tempRoot());
  const { layout } = root;
  owned.defer(() => removeCgroup(layout.cgroupParent));
  behind = owned.use(await startRegistry());
  await pushBusybox(behind, "busybox:1");
  front = createServer(serve);
  // As a proxy: CONNECT is refused, plain requests too, each time with all that came.
  front.on("connect", (request, socket) => {
    const { "proxy-authorization": login = "" } = request.headers;
    proxied += 1;
    socket.end(`HTTP/1.1 403 Forbidden\r\ncontent-length: ${login.length}\r\n\r\n${login}`);
  });
  await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve));
  owned.defer(() => {
    front.closeAllConnections();
    front.close();
  });
  host = `127.0.0.1:${(front.address() as AddressInfo).port}`; // a TCP server's address
  const certs = join(layout.certsDir, "mirrored.example");
  mkdirSync(certs, { recursive: true });
  writeFileSync(
    join(certs, "hosts.toml"),
    `server = "http://me:${secrets.url}@127.0.0.1:1"\n[host."http://me:${secrets.url}@${host}".header]\nauthorization = "Basic ${secrets.header}"\n`,
    { mode: 0o600 },
  );
  mkdirSync(join(layout.certsDir, "wrong.example"));
  writeFileSync(
    join(layout.certsDir, "wrong.example/hosts.toml"),
    `[host."http://me:${secrets.url}@${host}"]\ncapabilities = ["fly"]\n`,
    { mode: 0o600 },
  );
});
after(() => owned.disposeAsync());

test("through the CRI, at the level of debugging", async () => {
  const { layout } = root;
  const main = join(import.meta.dirname, "../../apps/tripod/src/main.ts");
  await using server = await startCriProcess({
    command: [process.execPath, main, "cri", "--root", root.path, "--no-network", "--log-level", "debug"],
    socket: layout.criSocket,
    logFile: join(root.path, "output.log"),
    env: {
      ...process.env,
      HTTPS_PROXY: `http://me:${secrets.proxy}@${host}`,
      HTTP_PROXY: `http://me:${secrets.proxy}@${host}`,
    },
  });
  using channel = new GrpcChannel({ socket: server.socket });
  const images = channel.client(ImageService);
  const login = { username: "me", password: secrets.password };
  const basic = Buffer.from(`me:${secrets.password}`).toString("base64");
  const pull = async (name: string, auth: MessageInitShape<typeof AuthConfigSchema>): Promise<string> => {
    try {
      return (await images.pullImage({ image: { image: name }, auth }, { timeoutMs: 60_000 })).imageRef;
    } catch (error) {
      said.push(JSON.stringify(error), messageOf(error));
      return "";
    }
  };
  for (const [name, auth] of [
    ["basic/busybox:1", login],
    ["basic/busybox:1", { auth: basic }],
    ["bearer/busybox:1", login],
    ["bearer/busybox:1", { identityToken: secrets.identity }],
  ] as const)
    assert.notEqual(await pull(`${host}/${name}`, auth), "", said.join("\n"));
  for (const [name, auth] of [
    [`${host}/basic/busybox:1`, { ...login, password: secrets.url }],
    [`${host}/repeats/x:1`, login],
    [`${host}/repeats/x:1`, { auth: basic }],
    [`${host}/repeats/x:1`, { registryToken: secrets.registry }],
    [`${host}/repeats/x:1`, { auth: `${basic}%%` }],
    [`${host}/bearer-repeats/x:1`, login],
    [`${host}/refused/x:1`, login],
    [`${host}/moved/x:1`, login],
    ["mirrored.example/x:1", login],
    ["wrong.example/x:1", login],
    ["proxied.example/x:1", login],
    [
      `${host}/basic/none:1`,
      { username: "me", password: secrets.password, serverAddress: `http://me:${secrets.url}@${host}` },
    ],
  ] as const)
    assert.equal(await pull(name, auth), "");
  assert.ok(proxied > 0, "the proxy was asked");
  assert.deepEqual(said.flatMap(secretsIn), [], said.join("\n"));
});

test("through the command line, by a credential helper, standard input and docker's configuration", async () => {
  const tripod = join(import.meta.dirname, "../../tripod");
  const docker = join(root.path, "docker");
  mkdirSync(docker, { mode: 0o700 });
  const helper = join(docker, "docker-credential-test");
  writeFileSync(helper, `#!/bin/sh\ncat "${docker}/answer"\n`);
  chmodSync(helper, 0o755);
  const configure = (config: object): void =>
    writeFileSync(join(docker, "config.json"), JSON.stringify(config), { mode: 0o600 });
  const env = { ...process.env, DOCKER_CONFIG: docker, PATH: `${docker}:${process.env.PATH}` };
  const run = async (args: readonly string[], input = ""): Promise<number> => {
    const command = ["-c", '"$@" <"$0"', join(docker, "input"), tripod, "image", ...args, "--root", root.path];
    writeFileSync(join(docker, "input"), input, { mode: 0o600 });
    const { exitCode, stdout, stderr } = await runCommand("sh", command, { okExitCodes: "any", env });
    said.push(stdout.toString(), stderr.toString());
    return exitCode ?? -1;
  };
  const known = `${host}/basic/busybox:1`;
  assert.equal(
    await run(["inspect", "--remote", known, "--creds", "-"], `me:${secrets.password}\n`),
    0,
    said.join("\n"),
  );
  configure({ credHelpers: { [host]: "test" } });
  writeFileSync(join(docker, "answer"), JSON.stringify({ Username: "me", Secret: secrets.password }), { mode: 0o600 });
  assert.equal(await run(["pull", known]), 0, said.join("\n"));
  configure({ auths: { [host]: { auth: Buffer.from(`me:${secrets.password}`).toString("base64") } } });
  assert.equal(await run(["pull", `${host}/repeats/x:1`]), 1);
  assert.deepEqual(said.flatMap(secretsIn), [], said.join("\n"));
});

test("none of it is in a file, but where the test has put it, or has been on a command line", () => {
  const mine = [join(root.path, "docker"), root.layout.certsDir];
  const files = filesBelow(root.path).filter((path) => !mine.some((dir) => path.startsWith(`${dir}/`)));
  assert.ok(
    files.some((path) => path.includes("/trace/")) && files.some((path) => path.endsWith("cri.log")),
    files.join("\n"),
  );
  for (const path of files) assert.deepEqual(secretsIn(readFileSync(path, "latin1")), [], path);
  assert.deepEqual(onCommandLines, []);
  // Of records, the names of images alone are for all to read.
  const told = files.filter((path) => /\/(trace|log)\/|\.db/.test(path) && !path.includes("/images.db"));
  assert.deepEqual(
    told.filter((path) => !isClosed(path)),
    [],
  );
});

/** Whether only root reads the file: by its own mode, or that of a folder above it. */
function isClosed(path: string): boolean {
  for (let at = path; at !== root.path; at = dirname(at)) if ((lstatSync(at).mode & 0o077) === 0) return true;
  return false;
}
