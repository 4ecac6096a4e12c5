import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand, silentLogger } from "@tripod/base";
import { tempRoot, type TempRoot } from "@tripod/testing";
import { Images } from "../images.ts";
import {
  type MemoryImage,
  memoryImage,
  type Misbehaviour,
  misbehavingRegistry,
  serve,
} from "./misbehaving-registry.ts";

const image = memoryImage(600_000);
const open = (root: TempRoot): Promise<Images> => Images.open({ layout: root.layout, log: silentLogger });
const isLayer = (path: string, of: MemoryImage = image): boolean => path.endsWith(of.layerDigest);

async function pullFrom(
  misbehave: Misbehaviour,
  name = "app",
): Promise<{ requests: number; ranges: (string | undefined)[] }> {
  await using registry = await misbehavingRegistry(image, misbehave);
  await using root = tempRoot();
  await using images = await open(root);
  try {
    await images.pull(`${registry.host}/${name}`);
  } finally {
    // Whatever happened, nothing unverified is in the store.
    for (const hex of readdirSync(join(root.layout.contentDir, "blobs/sha256"))) {
      await runCommand("sh", ["-c", `[ "$(sha256sum < blobs/sha256/${hex})" = "${hex}  -" ]`], {
        cwd: root.layout.contentDir,
      });
    }
  }
  assert.deepEqual(readdirSync(join(root.layout.contentDir, "ingest")), []);
  return {
    requests: registry.requests.length,
    ranges: registry.requests.filter(({ url }) => isLayer(url ?? "")).map(({ headers }) => headers.range),
  };
}

test("a body that breaks off is resumed by Range where it broke", async () => {
  let breaks = 3;
  const { ranges } = await pullFrom((request, response, path) => {
    if (!isLayer(path) || breaks === 0) return false;
    breaks -= 1;
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    const total = image.layer.length;
    response.writeHead(start > 0 ? 206 : 200, {
      "content-length": String(total - start),
      ...(start > 0 ? { "content-range": `bytes ${start}-${total - 1}/${total}` } : {}),
    });
    response.write(image.layer.subarray(start, start + 150_000), () => response.destroy());
    return true;
  });
  assert.equal(ranges.length, 4);
  assert.equal(ranges[0], undefined);
  assert.match(ranges[3] ?? "", /^bytes=[1-9]\d+-$/);
});

test("a short chunked body is resumed; a server that ignores Range is read from the start", async () => {
  let first = true;
  const { ranges } = await pullFrom((_request, response, path) => {
    if (!isLayer(path)) return false;
    const cut = first ? 100_000 : image.layer.length;
    first = false;
    response.writeHead(200);
    response.end(image.layer.subarray(0, cut));
    return true;
  });
  assert.deepEqual(ranges, [undefined, "bytes=100000-"]);
});

for (const { why, misbehave, code, says } of [
  {
    why: "other bytes than the digest promises",
    misbehave: (_request, response, path) => {
      if (!isLayer(path)) return false;
      response.end(Buffer.alloc(image.layer.length));
      return true;
    },
    code: "corrupt",
    says: /what came has the digest/,
  },
  {
    why: "another length than the manifest's",
    misbehave: (_request, response, path) => {
      if (!isLayer(path)) return false;
      response.writeHead(200, { "content-length": String(image.layer.length + 10) });
      response.end(Buffer.alloc(image.layer.length + 10));
      return true;
    },
    code: "corrupt",
    says: /offers \d+ bytes, the manifest says/,
  },
  {
    why: "an endless manifest",
    misbehave: (request, response, path) => {
      if (request.method === "HEAD" || !path.includes("/manifests/")) return false;
      const more = (): void => {
        if (response.destroyed) return;
        if (response.write(Buffer.alloc(65536, 0x20))) setImmediate(more);
        else response.once("drain", more);
      };
      more();
      return true;
    },
    code: "invalid",
    says: /longer than 4194304 bytes/,
  },
  {
    why: "a manifest that is not the digest's",
    misbehave: (request, response, path) => {
      if (!path.includes("/manifests/sha256:")) return false;
      serve(request, response, {
        bytes: Buffer.from(`${image.manifest.toString()} `),
        type: "application/vnd.oci.image.manifest.v1+json",
      });
      return true;
    },
    code: "corrupt",
    says: /what came has the digest/,
  },
  {
    why: "a tag that is not there",
    misbehave: (_request, response, path) => {
      if (!path.endsWith("/latest")) return false;
      response.writeHead(404).end('{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown to the test"}]}');
      return true;
    },
    code: "not-found",
    says: /MANIFEST_UNKNOWN: manifest unknown to the test.*check the name and the tag/,
  },
  {
    why: "access denied with its reason",
    misbehave: (_request, response) => {
      response.writeHead(403).end('{"errors":[{"code":"DENIED","message":"ask your boss"}]}');
      return true;
    },
    code: "permission-denied",
    says: /DENIED: ask your boss/,
  },
  {
    why: "redirects in a circle",
    misbehave: (request, response) => {
      response.writeHead(307, { location: request.url ?? "/" }).end();
      return true;
    },
    code: "invalid",
    says: /more than 5 redirects/,
  },
  {
    why: "a redirect to a file",
    misbehave: (_request, response) => {
      response.writeHead(307, { location: "file:///etc/passwd" }).end();
      return true;
    },
    code: "permission-denied",
    says: /file:/,
  },
] as readonly { why: string; misbehave: Misbehaviour; code: string; says: RegExp }[]) {
  test(`a pull fails with the reason: ${why}`, async () => {
    await assert.rejects(pullFrom(misbehave), { code, message: says });
  });
}

test("an endless body is cut at the declared size", async () => {
  let sent = 0;
  await pullFrom((_request, response, path) => {
    if (!isLayer(path)) return false;
    response.writeHead(200);
    response.write(image.layer);
    const more = (): void => {
      if (response.destroyed) return;
      sent += 65536;
      if (response.write(Buffer.alloc(65536))) setImmediate(more);
      else response.once("drain", more);
    };
    more();
    return true;
  });
  assert.ok(sent < 64 * 1024 * 1024, "the connection was closed");
});

test("429 and 503 are tried again after Retry-After; HEAD that is unknown is replaced by GET", async () => {
  const refusals = new Map<string, number>();
  const started = Date.now();
  const { requests } = await pullFrom((request, response, path) => {
    if (request.method === "HEAD") {
      response.writeHead(405).end();
      return true;
    }
    const seen = refusals.get(path) ?? 0;
    refusals.set(path, seen + 1);
    if (seen > 0) return false;
    response
      .writeHead(path.includes("/manifests/") ? 429 : 503, {
        "retry-after": path.includes("/manifests/latest") ? "1" : "0",
      })
      .end("slow down");
    return true;
  });
  assert.ok(Date.now() - started >= 1000);
  assert.ok(requests >= 7);
});

test("a bearer token is fetched with the user's name and password, and shown to that registry alone", async () => {
  const blobHost = await misbehavingRegistry(image);
  await using _blobs = blobHost;
  const tokens: string[] = [];
  await using registry = await misbehavingRegistry(image, (request, response, path) => {
    const url = new URL(request.url ?? "/", "http://x");
    if (path === "/token") {
      tokens.push(
        `${request.headers.authorization} ${url.searchParams.get("service")} ${url.searchParams.getAll("scope").join(",")}`,
      );
      response.end(JSON.stringify({ token: "T0KEN", expires_in: 60 }));
      return true;
    }
    if (request.headers.authorization !== "Bearer T0KEN") {
      response.writeHead(401, {
        "www-authenticate": `Bearer realm="http://${request.headers.host}/token",service="test",scope="repository:team/app:pull"`,
      });
      response.end('{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}');
      return true;
    }
    if (!path.includes("/blobs/")) return false;
    response.writeHead(307, { location: `http://${blobHost.host}${request.url}` }).end();
    return true;
  });
  await using root = tempRoot();
  await using images = await open(root);
  await images.pull(`${registry.host}/team/app`, { auth: { username: "me", password: "pä:ss" } });
  assert.ok(tokens.length >= 1);
  for (const token of tokens)
    assert.equal(token, `Basic ${Buffer.from("me:pä:ss").toString("base64")} test repository:team/app:pull`);
  assert.equal(blobHost.requests.length, 2);
  for (const { headers } of blobHost.requests) assert.equal(headers.authorization, undefined);
});

test("basic login, an identity token, a wrong password and credentials for another registry", async () => {
  const good = `Basic ${Buffer.from("me:secret").toString("base64")}`;
  let refreshed = "";
  await using basic = await misbehavingRegistry(image, (request, response) => {
    if (request.headers.authorization === good) return false;
    response
      .writeHead(401, { "www-authenticate": 'Basic realm="x"' })
      .end('{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}');
    return true;
  });
  await using oauth = await misbehavingRegistry(image, (request, response, path) => {
    if (path === "/token") {
      request.on("data", (data: Buffer) => {
        refreshed += data.toString();
      });
      request.on("end", () => response.end('{"access_token":"A"}'));
      return true;
    }
    if (request.headers.authorization === "Bearer A") return false;
    response
      .writeHead(401, { "www-authenticate": `Bearer realm="http://${request.headers.host}/token",service="s"` })
      .end();
    return true;
  });
  await using root = tempRoot();
  await using images = await open(root);
  const name = `${basic.host}/app`;
  await assert.rejects(images.pull(name), { code: "unauthenticated", message: /who are you/ });
  await assert.rejects(images.pull(name, { auth: { username: "me", password: "wrong" } }), { code: "unauthenticated" });
  await assert.rejects(
    images.pull(name, { auth: { username: "me", password: "secret", serverAddress: "other.example" } }),
    { code: "unauthenticated" },
  );
  await images.pull(name, {
    auth: { auth: Buffer.from("me:secret").toString("base64"), serverAddress: `https://${basic.host}/v2/` },
  });
  await images.pull(`${oauth.host}/app`, { auth: { identityToken: "REFRESH" } });
  assert.equal(new URLSearchParams(refreshed).get("refresh_token"), "REFRESH");
  assert.equal(new URLSearchParams(refreshed).get("grant_type"), "refresh_token");
});

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

test("a pull that is cancelled leaves its part, and another caller of the same layer goes on with it", async () => {
  let release: (() => void) | undefined;
  let held = false;
  await using registry = await misbehavingRegistry(image, (_request, response, path) => {
    if (!isLayer(path) || held) return false;
    held = true;
    response.writeHead(200, { "content-length": String(image.layer.length) });
    response.write(image.layer.subarray(0, 200_000));
    release = () => response.destroy();
    return true;
  });
  await using root = tempRoot();
  await using images = await open(root);
  const abort = new AbortController();
  const started = Promise.withResolvers<void>();
  const first = images.pull(`${registry.host}/app`, {
    signal: abort.signal,
    onProgress: ({ doneBytes, state }) => {
      if (state === "downloading" && doneBytes > 100_000) started.resolve();
    },
  });
  await started.promise;
  const second = images.pull(`${registry.host}/app`, {
    onProgress: ({ digest, state }) => {
      if (digest === image.layerDigest && state === "waiting") setImmediate(() => abort.abort());
    },
  });
  await assert.rejects(first, { code: "cancelled" });
  await second;
  const ranges = registry.requests.filter(({ url }) => isLayer(url ?? "")).map(({ headers }) => headers.range);
  assert.equal(ranges.length, 2);
  assert.match(ranges[1] ?? "", /^bytes=\d{6}-$/);
  release?.();
});
