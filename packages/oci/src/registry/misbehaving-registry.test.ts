import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
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
