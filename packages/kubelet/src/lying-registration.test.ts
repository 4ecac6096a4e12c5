import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { createServer, type Http2Server } from "node:http2";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { after, before, test } from "node:test";
import type { CSINode } from "@tripod/api/kubernetes";
import { Registration } from "@tripod/api/plugin-registration";
import { implement, serveGrpc } from "@tripod/grpc";
import { type BindDriver, bindDriverName, startBindDriver } from "./testing/bind-driver.ts";
import { startTestCluster, type TestCluster, testNodeName } from "./testing/test-cluster.ts";

const mebibyte = 1024 * 1024;
const gibibyte = 1024 * mebibyte;

let cluster: TestCluster;
const stack = new AsyncDisposableStack();
before(async () => {
  cluster = stack.use(await startTestCluster("tripod"));
  mkdirSync(cluster.layout.pluginsRegistryDir, { recursive: true });
});
after(() => stack.disposeAsync());

/** Answers every call with one message of a gibibyte, for as long as somebody reads; tells how much of it was read. */
class GiantServer implements AsyncDisposable {
  readonly #server: Http2Server;
  sentBytes = 0;
  /** The first caller has gone. */
  readonly left = Promise.withResolvers<void>();

  constructor(socket: string) {
    this.#server = createServer((_request, response) => {
      const { stream } = response;
      stream.respond({ ":status": 200, "content-type": "application/grpc" });
      // gRPC over HTTP/2: a byte for compression, then the length.
      const prefix = Buffer.alloc(5);
      prefix.writeUInt32BE(gibibyte, 1);
      void pipeline(Readable.from(this.#message(prefix)), stream)
        .catch(() => undefined) // the caller has closed the stream, as it should
        .finally(() => this.left.resolve());
    });
    this.#server.listen(socket);
  }

  *#message(prefix: Buffer): Generator<Buffer> {
    yield prefix;
    const piece = Buffer.alloc(mebibyte);
    for (let sent = 0; sent < gibibyte; sent += piece.length) {
      this.sentBytes += piece.length;
      yield piece;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    await closed;
  }
}

/** Registers what is at `endpoint` as a driver; resolves with what the kubelet says of it. */
async function register(name: string, endpoint: string): Promise<{ pluginRegistered: boolean; error: string }> {
  const told = Promise.withResolvers<{ pluginRegistered: boolean; error: string }>();
  await using _server = await serveGrpc({
    socket: join(cluster.layout.pluginsRegistryDir, `${name}-reg.sock`),
    services: [
      implement(Registration, {
        getInfo: async () => ({ type: "CSIPlugin", name, endpoint, supportedVersions: ["1.0.0"] }),
        async notifyRegistrationStatus({ pluginRegistered, error }) {
          told.resolve({ pluginRegistered, error });
          return {};
        },
      }),
    ],
  });
  return await told.promise;
}

test("a driver that answers with a gibibyte is refused before it is read, and told so", async () => {
  const socket = join(cluster.layout.kubeletDir, "giant.sock");
  await using giant = new GiantServer(socket);
  const before = process.memoryUsage().rss;
  const { pluginRegistered, error } = await register("giant.csi.test", socket);
  assert.equal(pluginRegistered, false);
  assert.match(error, /larger than max/i);
  await giant.left.promise;
  assert.ok(giant.sentBytes < 64 * mebibyte, `${giant.sentBytes} bytes were taken`);
  assert.ok(process.memoryUsage().rss - before < 128 * mebibyte);
});

test("one whose very registration is a gibibyte is let go, too", async () => {
  await using giant = new GiantServer(join(cluster.layout.pluginsRegistryDir, "huge.csi.test-reg.sock"));
  await giant.left.promise;
  assert.ok(giant.sentBytes < 64 * mebibyte, `${giant.sentBytes} bytes were taken`);
});

for (const [what, name, endpoint, message] of [
  ["a network address", "far.csi.test", "tcp://127.0.0.1:1", /unix/],
  ["a relative path", "near.csi.test", "driver/csi.sock", /absolute/],
  ["a name that no driver may have", "under_score.test", "/run/csi.sock", /name/],
] as const)
  test(`a driver with ${what} is refused, and told so`, async () => {
    const { pluginRegistered, error } = await register(name, endpoint);
    assert.equal(pluginRegistered, false);
    assert.match(error, message);
  });

test("an honest driver registers beside them, and alone is written down", async () => {
  const driver: BindDriver = await startBindDriver(cluster.layout, {});
  stack.use(driver);
  const found = await cluster.api.until<CSINode>(
    "csinodes",
    testNodeName,
    (node) => (node?.spec?.drivers?.length ?? 0) > 0,
  );
  assert.deepEqual(
    found.spec.drivers.map(({ name }) => name),
    [bindDriverName],
  );
});
