import assert from "node:assert/strict";
import { randomFillSync } from "node:crypto";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { startRegistry, tempRoot } from "@tripod/testing";
import { digestOf } from "../digest.ts";
import { HostSession } from "./host-session.ts";
import { pushBlob } from "./push-blob.ts";
import { defaultHost } from "./registry-host.ts";
import { cuttingProxy } from "./testing/cutting-proxy.ts";

const bytes = randomFillSync(Buffer.alloc(8 * 1024 * 1024));
const blob = { mediaType: "application/octet-stream", digest: digestOf(bytes), size: bytes.length };
const sessionTo = (host: string): HostSession =>
  new HostSession(defaultHost(host), { credentials: { kind: "anonymous" } });
const { signal } = new AbortController();

for (const { how, chunkBytes } of [
  { how: "in one request", chunkBytes: bytes.length },
  { how: "in chunks", chunkBytes: 3 * 1024 * 1024 },
]) {
  // Debian's registry forgets an upload of which a request broke.
  test(`an upload ${how} that breaks reaches a registry that has forgotten it; what is there is not sent again`, async () => {
    await using registry = await startRegistry();
    await using root = tempRoot();
    const path = join(root.path, "blob");
    writeFileSync(path, bytes);
    await using proxy = await cuttingProxy(registry.host, { limitBytes: 2_500_000, times: 2 });
    using session = sessionTo(proxy.host);
    const options = { repository: "team/app", path, signal, chunkBytes };
    assert.equal(await pushBlob(session, blob, options), "uploaded");
    assert.equal(proxy.cuts, 2);
    const reply = await fetch(`http://${registry.host}/v2/team/app/blobs/${blob.digest}`);
    assert.equal(digestOf(Buffer.from(await reply.arrayBuffer())), blob.digest);
    assert.equal(await pushBlob(session, blob, options), "exists");
    assert.equal(await pushBlob(session, blob, { ...options, repository: "b", mountFrom: "team/app" }), "mounted");
  });

  test(`an upload ${how} that breaks goes on where the registry says it is`, async () => {
    await using registry = await uploadRegistry();
    await using root = tempRoot();
    const path = join(root.path, "blob");
    writeFileSync(path, bytes);
    await using proxy = await cuttingProxy(registry.host, { limitBytes: 2_500_000, times: 3 });
    using session = sessionTo(proxy.host);
    assert.equal(await pushBlob(session, blob, { repository: "a", path, signal, chunkBytes }), "uploaded");
    assert.equal(proxy.cuts, 3);
    assert.equal(registry.begun(), 1);
    assert.equal(registry.received(), blob.digest);
  });
}

/** Takes uploads as the distribution specification says; what of a broken request came in counts. */
async function uploadRegistry(): Promise<
  AsyncDisposable & { readonly host: string; begun(): number; received(): string }
> {
  let content = Buffer.alloc(0);
  let begun = 0;
  let settled: Promise<unknown> = Promise.resolve();
  const server = createServer(async (request, response) => {
    const { method, url = "" } = request;
    const place = { location: "/v2/a/blobs/uploads/1" };
    if (method === "HEAD") response.writeHead(404).end();
    else if (method === "POST") {
      begun += 1;
      response.writeHead(202, place).end();
    } else if (method === "GET") {
      await settled; // the request that broke, to its end
      response.writeHead(204, { ...place, range: `0-${Math.max(0, content.length - 1)}` }).end();
    } else {
      const range = /^(\d+)-(\d+)$/.exec(String(request.headers["content-range"] ?? ""));
      const starts = range === null ? content.length : Number(range[1]);
      const pieces: Buffer[] = [];
      const read = new Promise<void>((resolve) => {
        request.on("data", (piece: Buffer) => pieces.push(piece)).on("end", resolve);
        request.on("error", () => resolve());
      });
      settled = read.then(() => {
        if (starts === content.length) content = Buffer.concat([content, ...pieces]);
      });
      await settled;
      if (!request.complete) return;
      const done = method === "PUT" && url.includes(`digest=${encodeURIComponent(digestOf(content))}`);
      response.writeHead(done ? 201 : method === "PATCH" && starts !== content.length ? 202 : 400, place).end();
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`, // a TCP server's address
    begun: () => begun,
    received: () => digestOf(content),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

test("an upload whose place is forgotten begins again; one that is refused is not tried again", async () => {
  await using root = tempRoot();
  const path = join(root.path, "blob");
  writeFileSync(path, bytes.subarray(0, 1000));
  const small = { ...blob, digest: digestOf(bytes.subarray(0, 1000)), size: 1000 };
  const seen: string[] = [];
  let answers: number[] = [];
  const server = createServer((request: IncomingMessage, response) => {
    const { method = "", url = "" } = request;
    seen.push(`${method} ${url.replace(/\?.*/, "")}`);
    request.resume();
    request.on("end", () => {
      if (method === "POST") response.writeHead(202, { location: `/place${seen.length}` }).end();
      else response.writeHead(method === "PUT" ? (answers.shift() ?? 201) : 404).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    using session = sessionTo(`127.0.0.1:${(server.address() as AddressInfo).port}`); // a TCP server's address
    answers = [503];
    assert.equal(await pushBlob(session, small, { repository: "a", path, signal }), "uploaded");
    assert.deepEqual(seen, [
      `HEAD /v2/a/blobs/${small.digest}`,
      "POST /v2/a/blobs/uploads/",
      "PUT /place2",
      "GET /place2",
      "POST /v2/a/blobs/uploads/",
      "PUT /place5",
    ]);
    answers = [400];
    await assert.rejects(pushBlob(session, small, { repository: "a", path, signal }), { code: "invalid" });
    assert.equal(seen.filter((line) => line.startsWith("PUT")).length, 3);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});
