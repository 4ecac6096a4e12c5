import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { RuntimeService } from "@tripod/api/cri";
import { isTripodError, TripodError } from "@tripod/base";
import { GrpcChannel } from "./client.ts";
import { type GrpcServer, implement, serveGrpc } from "./server.ts";

const dir = mkdtempSync("/tmp/tripod-grpc-");
const socket = join(dir, "s.sock");
let server: GrpcServer;
const cancelled = Promise.withResolvers<void>();

before(async () => {
  writeFileSync(socket, ""); // what a killed process leaves: a path on which nobody listens
  server = await serveGrpc({
    socket,
    services: [
      implement(RuntimeService, {
        async version(request) {
          if (request.version === "bad") throw new TripodError("failed-precondition", "no such version");
          if (request.version === "long") throw new TripodError("not-found", "\u{1f4a5}".repeat(1_000_000));
          return { version: request.version, runtimeName: "tripod" };
        },
        async updateRuntimeConfig(_request, { signal }) {
          await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
          cancelled.resolve();
          return {};
        },
        async *getContainerEvents() {
          yield { containerId: "a" };
          yield { containerId: "b" };
        },
      }),
    ],
  });
});
after(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true });
});

test("a unary call carries the request and the reply", async () => {
  using channel = new GrpcChannel({ socket });
  const reply = await channel.client(RuntimeService).version({ version: "v1" });
  assert.equal(reply.version, "v1");
  assert.equal(reply.runtimeName, "tripod");
});

test("a thrown TripodError arrives with its code and message", async () => {
  using channel = new GrpcChannel({ socket });
  await assert.rejects(channel.client(RuntimeService).version({ version: "bad" }), (error) => {
    assert.ok(isTripodError(error, "failed-precondition"));
    assert.equal(error.message, "no such version");
    return true;
  });
});

test("an error that repeats a megabyte of the request arrives with its code, cut off", async () => {
  using channel = new GrpcChannel({ socket });
  await assert.rejects(channel.client(RuntimeService).version({ version: "long" }), (error) => {
    assert.ok(isTripodError(error, "not-found"));
    assert.ok(error.message.startsWith("\u{1f4a5}") && error.message.length < 2000);
    return true;
  });
});

test("a socket that nobody serves is named, with the reason", async () => {
  const stale = join(dir, "stale.sock");
  writeFileSync(stale, "");
  for (const [path, why] of [
    [join(dir, "absent.sock"), /absent\.sock: there is no such socket; check/],
    [stale, /stale\.sock: nothing listens there; check/],
  ] as const) {
    using channel = new GrpcChannel({ socket: path });
    await assert.rejects(
      channel.client(RuntimeService).version({ version: "1" }),
      (error) => isTripodError(error, "unavailable") && why.test(error.message),
    );
  }
});

test("a method without a handler answers UNIMPLEMENTED", async () => {
  using channel = new GrpcChannel({ socket });
  await assert.rejects(channel.client(RuntimeService).status({}), (error) => isTripodError(error, "unimplemented"));
});

test("a server stream yields every reply, then ends", async () => {
  using channel = new GrpcChannel({ socket });
  const ids: string[] = [];
  for await (const event of channel.client(RuntimeService).getContainerEvents({})) ids.push(event.containerId);
  assert.deepEqual(ids, ["a", "b"]);
});

test("the handler's signal is aborted when the deadline passes", async () => {
  using channel = new GrpcChannel({ socket });
  const call = channel.client(RuntimeService).updateRuntimeConfig({}, { timeoutMs: 50 });
  await assert.rejects(call, (error) => isTripodError(error, "timeout"));
  await cancelled.promise;
});

test("the socket is not open to everyone, and a second server on it is refused", async () => {
  assert.equal(statSync(socket).mode & 0o777, 0o660);
  await assert.rejects(serveGrpc({ socket, services: [] }), (error) => isTripodError(error, "already-exists"));
});

for (const authority of ["run%2Ftripod.sock", "/run/tripod.sock", "", "localhost", "[::1", "a b"]) {
  test(`the server survives :authority ${JSON.stringify(authority)}`, async () => {
    const session = connectHttp2("http://localhost", { createConnection: () => connect(socket) });
    session.on("error", () => {}); // a refusal of the session is as good an answer as one of the stream
    const stream = session.request({
      ":method": "POST",
      ":path": "/runtime.v1.RuntimeService/Version",
      ":authority": authority,
      "content-type": "application/grpc",
      te: "trailers",
    });
    await new Promise<void>((resolve) => {
      stream.on("error", () => resolve());
      stream.on("close", resolve);
      stream.resume();
      stream.end(Buffer.from([0, 0, 0, 0, 0]));
    });
    session.destroy();
    using channel = new GrpcChannel({ socket });
    assert.equal((await channel.client(RuntimeService).version({ version: "v1" })).version, "v1");
  });
}
