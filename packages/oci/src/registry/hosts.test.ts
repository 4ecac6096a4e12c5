import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand, silentLogger } from "@tripod/base";
import { tempRoot, type TempRoot } from "@tripod/testing";
import { Images } from "../images.ts";
import { memoryImage, misbehavingRegistry } from "./misbehaving-registry.ts";

const image = memoryImage(600_000);
const open = (root: TempRoot): Promise<Images> => Images.open({ layout: root.layout, log: silentLogger });

test("mirrors of hosts.toml are asked first, live, and the registry when they fail; only it gets the login", async () => {
  await using broken = await misbehavingRegistry(image, (_request, response) => {
    response.writeHead(500).end("broken mirror");
    return true;
  });
  await using mirror = await misbehavingRegistry(image);
  await using root = tempRoot();
  await using images = await open(root);
  const dir = join(root.layout.certsDir, "registry.example");
  mkdirSync(dir, { recursive: true });
  writeFileSync(
    join(dir, "hosts.toml"),
    `server = "http://${mirror.host}"\n[host."http://${broken.host}/prefix"]\ncapabilities = ["pull", "resolve"]\n[host."http://${broken.host}/prefix".header]\nx-test = "yes"\n`,
  );
  const pulled = await images.pull("registry.example/app", { auth: { username: "a", password: "b" } });
  assert.deepEqual(pulled.repoTags, ["registry.example/app:latest"]);
  const [first] = broken.requests;
  assert.equal(first?.headers["x-test"], "yes");
  assert.match(first?.url ?? "", /^\/prefix\/v2\/app\/manifests\/latest\?ns=registry\.example$/);
  assert.ok(broken.requests.every(({ headers }) => headers.authorization === undefined));
  assert.ok(mirror.requests.every(({ headers }) => headers["x-test"] === undefined));
  writeFileSync(join(dir, "hosts.toml"), "server = [1]\n");
  await assert.rejects(images.pull("registry.example/app"), {
    code: "invalid",
    message: /hosts\.toml: server: must be a string/,
  });
  writeFileSync(join(dir, "hosts.toml"), "server = \n");
  await assert.rejects(images.pull("registry.example/app"), { code: "invalid", message: /hosts\.toml/ });
});

test("a registry with a certificate of an own CA is trusted through hosts.toml, with a client certificate when it wants one", async () => {
  await using root = tempRoot();
  const dir = join(root.layout.certsDir, "_default");
  mkdirSync(dir, { recursive: true });
  const openssl = (...args: string[]): Promise<unknown> => runCommand("openssl", args, { cwd: dir });
  await openssl(
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-keyout",
    "ca.key",
    "-out",
    "ca.pem",
    "-subj",
    "/CN=test CA",
    "-days",
    "2",
  );
  for (const [name, extension] of [
    ["server", "subjectAltName=IP:127.0.0.1"],
    ["client", "extendedKeyUsage=clientAuth"],
  ] as const) {
    writeFileSync(join(dir, `${name}.ext`), extension);
    await openssl(
      "req",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-keyout",
      `${name}.key`,
      "-out",
      `${name}.csr`,
      "-subj",
      `/CN=${name}`,
    );
    await openssl(
      "x509",
      "-req",
      "-in",
      `${name}.csr`,
      "-CA",
      "ca.pem",
      "-CAkey",
      "ca.key",
      "-CAcreateserial",
      "-out",
      `${name}.pem`,
      "-days",
      "2",
      "-extfile",
      `${name}.ext`,
    );
  }
  const pem = (name: string): string => readFileSync(join(dir, name), "utf8");
  await using registry = await misbehavingRegistry(image, () => false, {
    cert: pem("server.pem"),
    key: pem("server.key"),
    ca: pem("ca.pem"),
    requestCert: true,
  });
  await using images = await open(root);
  const name = `${registry.host}/app`;
  await assert.rejects(images.pull(name), { code: "unavailable", message: /put (its CA|it) into certs\.d/ });
  writeFileSync(join(dir, "hosts.toml"), 'ca = "ca.pem"\n');
  await assert.rejects(images.pull(name), { code: "unavailable" });
  writeFileSync(join(dir, "hosts.toml"), 'ca = ["ca.pem"]\nclient = [["client.pem", "client.key"]]\n');
  await images.pull(name);
  await images.remove(name);
  writeFileSync(join(dir, "hosts.toml"), 'skip_verify = true\nclient = [["client.pem", "client.key"]]\n');
  await images.pull(name);
});
