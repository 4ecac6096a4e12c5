import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { create, createFileRegistry, type DescService, fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, file_google_protobuf_wrappers } from "@bufbuild/protobuf/wkt";
import { RuntimeService } from "@tripod/api/cri";
import { RequestSchema, ResponseSchema } from "@tripod/api/ttrpc";
import { isTripodError, TripodError } from "@tripod/base";
import { connectTtrpc } from "./client.ts";
import { encodeFrame, type Frame, FrameReader, flag, messageType } from "./frame.ts";
import { serveTtrpc, type TtrpcServer } from "./server.ts";
import { implement } from "./service.ts";

const dir = mkdtempSync("/tmp/tripod-ttrpc-");
const socket = join(dir, "s.sock");
let server: TtrpcServer;
let aborted = Promise.withResolvers<unknown>();
const gate = Promise.withResolvers<void>();

/** A service with the two kinds of method that none of ours has: `sum` takes a stream, `echo` takes and gives one. */
const sums = ((): DescService => {
  const number = ".google.protobuf.Int32Value";
  const file = create(FileDescriptorProtoSchema, {
    name: "sums.proto",
    package: "test",
    syntax: "proto3",
    dependency: ["google/protobuf/wrappers.proto"],
    service: [
      {
        name: "Sums",
        method: [
          { name: "Sum", inputType: number, outputType: number, clientStreaming: true },
          { name: "Echo", inputType: number, outputType: number, clientStreaming: true, serverStreaming: true },
        ],
      },
    ],
  });
  const service = createFileRegistry(file, (name) =>
    name === "google/protobuf/wrappers.proto" ? file_google_protobuf_wrappers.proto : undefined,
  ).getService("test.Sums");
  assert.ok(service);
  return service;
})();
interface Int32 {
  readonly value: number;
}

before(async () => {
  writeFileSync(socket, ""); // what a killed process leaves: a path on which nobody listens
  server = await serveTtrpc({
    socket,
    maxCalls: 64,
    services: [
      implement(RuntimeService, {
        async version(request, { metadata }) {
          if (request.version === "bad") throw new TripodError("failed-precondition", "no such version");
          if (request.version === "large") return { version: "x".repeat(5 * 1024 * 1024) };
          return { version: request.version, runtimeName: metadata.get("containerd-namespace-ttrpc") ?? "" };
        },
        async updateRuntimeConfig(_request, { signal }) {
          await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
          aborted.resolve(signal.reason);
          return {};
        },
        async startContainer() {
          await gate.promise;
          return {};
        },
        async *getContainerEvents() {
          yield { containerId: "a" };
          yield {}; // an empty message is a message
          yield { containerId: "b" };
        },
        async *streamContainers() {
          yield {};
          throw new TripodError("not-found", "no more");
        },
      }),
      {
        service: sums,
        handlers: {
          async sum(numbers: AsyncIterable<Int32>): Promise<Int32> {
            let value = 0;
            for await (const number of numbers) value += number.value;
            return { value };
          },
          async *echo(numbers: AsyncIterable<Int32>): AsyncGenerator<Int32> {
            for await (const { value } of numbers) yield { value: -value };
          },
        },
      },
    ],
  });
});
after(async () => {
  gate.resolve();
  await server[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true });
});

async function* numbers(): AsyncGenerator<Int32> {
  for (let value = 0; value < 100; value += 1) yield { value };
}
/** The methods of `sums`, whose types a descriptor made at run time does not carry. */
interface SumsClient {
  sum(numbers: AsyncIterable<Int32>): Promise<Int32>;
  echo(numbers: AsyncIterable<Int32>): AsyncIterable<Int32>;
}

test("a unary call carries request, reply and metadata", async () => {
  using client = await connectTtrpc({ socket, metadata: { "Containerd-Namespace-Ttrpc": "k8s.io" } });
  const reply = await client.client(RuntimeService).version({ version: "v1" });
  assert.deepEqual([reply.version, reply.runtimeName], ["v1", "k8s.io"]);
});

test("calls run at once on one connection, and answers find their callers", async () => {
  using client = await connectTtrpc({ socket });
  const runtime = client.client(RuntimeService);
  const versions = Array.from({ length: 60 }, (_, index) => `v${index}`);
  const replies = await Promise.all(versions.map((version) => runtime.version({ version })));
  assert.deepEqual(
    replies.map(({ version }) => version),
    versions,
  );
});

test("a thrown TripodError arrives with its code and message; an absent method is unimplemented", async () => {
  using client = await connectTtrpc({ socket });
  const runtime = client.client(RuntimeService);
  await assert.rejects(
    runtime.version({ version: "bad" }),
    (error) => isTripodError(error, "failed-precondition") && error.message === "no such version",
  );
  await assert.rejects(runtime.status({}), (error) => isTripodError(error, "unimplemented"));
});

test("what exceeds 4 MiB is refused on both sides, and the connection goes on", async () => {
  using client = await connectTtrpc({ socket });
  const runtime = client.client(RuntimeService);
  const version = "x".repeat(4 * 1024 * 1024 - 100);
  assert.equal((await runtime.version({ version })).version.length, version.length);
  await assert.rejects(runtime.version({ version: "large" }), (error) => isTripodError(error, "exhausted"));
  await assert.rejects(runtime.version({ version: `${version}${"x".repeat(200)}` }), (error) =>
    isTripodError(error, "exhausted"),
  );
  assert.equal((await runtime.version({ version: "v1" })).version, "v1");
});

test("a server stream yields every reply, then ends or fails", async () => {
  using client = await connectTtrpc({ socket });
  const runtime = client.client(RuntimeService);
  const ids = await Array.fromAsync(runtime.getContainerEvents({}), ({ containerId }) => containerId);
  assert.deepEqual(ids, ["a", "", "b"]);
  const replies: unknown[] = [];
  await assert.rejects(
    async () => {
      for await (const reply of runtime.streamContainers({})) replies.push(reply);
    },
    (error) => isTripodError(error, "not-found"),
  );
  assert.equal(replies.length, 1);
});

test("streams of requests are answered with one reply, or with a stream", async () => {
  using client = await connectTtrpc({ socket });
  const methods = client.client(sums) as unknown as SumsClient;
  assert.equal((await methods.sum(numbers())).value, 4950);
  const echoed = await Array.fromAsync(methods.echo(numbers()), ({ value }) => value);
  assert.deepEqual([echoed.length, echoed[99]], [100, -99]);
});

test("the deadline ends the call on both sides, though the handler would wait", async () => {
  aborted = Promise.withResolvers();
  using client = await connectTtrpc({ socket });
  const call = client.client(RuntimeService).updateRuntimeConfig({}, { timeoutMs: 50 });
  await assert.rejects(call, (error) => isTripodError(error, "timeout"));
  assert.ok(isTripodError(await aborted.promise, "timeout"));
});

test("an aborted call fails at once, and the connection goes on", async () => {
  using client = await connectTtrpc({ socket });
  const runtime = client.client(RuntimeService);
  const abort = new AbortController();
  const call = runtime.startContainer({}, { signal: abort.signal });
  abort.abort();
  await assert.rejects(call, (error) => isTripodError(error, "cancelled"));
  await assert.rejects(runtime.version({}, { signal: abort.signal }), (error) => isTripodError(error, "cancelled"));
  assert.equal((await runtime.version({ version: "v1" })).version, "v1");
});

test("a broken connection fails the calls that wait, tells its owner, and aborts their handlers", async () => {
  aborted = Promise.withResolvers();
  const client = await connectTtrpc({ socket });
  const runtime = client.client(RuntimeService);
  const call = runtime.updateRuntimeConfig({});
  await runtime.version({}); // the first has reached its handler, too
  client[Symbol.dispose]();
  await assert.rejects(call, (error) => isTripodError(error, "unavailable"));
  await client.closed;
  assert.ok(isTripodError(await aborted.promise, "cancelled"));
  await assert.rejects(runtime.version({}), (error) => isTripodError(error, "unavailable"));
});

test("calls beyond the limit of a connection are refused", async () => {
  using client = await connectTtrpc({ socket });
  const runtime = client.client(RuntimeService);
  const waiting = Array.from({ length: 64 }, () => runtime.startContainer({}));
  await assert.rejects(runtime.version({}), (error) => isTripodError(error, "exhausted"));
  gate.resolve();
  await Promise.all(waiting);
  assert.equal((await runtime.version({ version: "v1" })).version, "v1");
});

test("the socket is not open to everyone, and a second server on it is refused", async () => {
  assert.equal(statSync(socket).mode & 0o777, 0o660);
  await assert.rejects(serveTtrpc({ socket, services: [] }), (error) => isTripodError(error, "already-exists"));
  const absent = join(dir, "absent.sock");
  await assert.rejects(
    connectTtrpc({ socket: absent }),
    (error) => isTripodError(error, "unavailable") && /no such socket/.test(error.message),
  );
});

const version = (streamId: number): Buffer => {
  const request = create(RequestSchema, { service: "runtime.v1.RuntimeService", method: "Version" });
  return encodeFrame({ streamId, type: messageType.request, flags: 0, data: toBinary(RequestSchema, request) });
};
const bad = (streamId: number, type: number, flags = 0): Buffer =>
  encodeFrame({ streamId, type, flags, data: Buffer.from("\xff\xff", "latin1") });
const header = (length: number): Buffer => {
  const bytes = Buffer.alloc(10);
  bytes.writeUInt32BE(length, 0);
  bytes.writeUInt32BE(1, 4);
  bytes[8] = messageType.request;
  return bytes;
};

/** The gRPC status of each frame that comes back until the connection ends or `count` have come. */
async function statuses(peer: Socket, count: number): Promise<number[]> {
  const reader = new FrameReader();
  const codes: number[] = [];
  for await (const chunk of peer) {
    for (const { data } of reader.push(chunk)) {
      assert.ok(data instanceof Uint8Array);
      codes.push(fromBinary(ResponseSchema, data).status?.code ?? 0);
    }
    if (codes.length >= count) break;
  }
  return codes;
}

for (const { why, bytes, codes } of [
  { why: "a request that does not decode", bytes: [bad(1, messageType.request)], codes: [3] },
  { why: "an even stream number", bytes: [version(2)], codes: [3] },
  { why: "a stream number used twice", bytes: [version(3), version(3), version(1)], codes: [3, 3, 0] },
  { why: "data for no stream", bytes: [bad(5, messageType.data, flag.remoteClosed)], codes: [3] },
  { why: "a message of 5 MiB", bytes: [header(5 * 1024 * 1024), Buffer.alloc(5 * 1024 * 1024)], codes: [8] },
  { why: "a length of 4 GiB", bytes: [header(0xffff_ffff)], codes: "closed" },
  { why: "HTTP", bytes: [Buffer.from("GET / HTTP/1.1\r\n\r\n")], codes: "closed" },
] as const) {
  test(`${why} is answered on its own connection alone`, async () => {
    const peer = connect(socket);
    await once(peer, "connect");
    for (const part of bytes) peer.write(part);
    if (codes === "closed") {
      peer.resume();
      await once(peer, "close");
    } else {
      peer.write(version(101)); // an unknown type before it would be ignored; the connection still serves
      const got = await statuses(peer, codes.length + 1);
      assert.deepEqual(
        got.toSorted((one, other) => other - one),
        [...codes, 0],
      );
      peer.destroy();
    }
    using client = await connectTtrpc({ socket });
    assert.equal((await client.client(RuntimeService).version({ version: "v1" })).version, "v1");
  });
}

test("an unknown type of message is ignored, and frames may come byte by byte", async () => {
  const peer = connect(socket);
  await once(peer, "connect");
  for (const byte of Buffer.concat([bad(1, 9), version(1)])) peer.write(Buffer.of(byte));
  assert.deepEqual(await statuses(peer, 1), [0]);
  peer.destroy();
});

test("FrameReader cuts the same messages out of any split", () => {
  const frames = [0, 1, 9, 300].map((size, index) => ({
    streamId: index * 2 + 1,
    type: messageType.data,
    flags: index % 2,
    data: Buffer.alloc(size, index),
  }));
  const bytes = Buffer.concat(frames.map(encodeFrame));
  for (const size of [1, 3, 10, 11, 64, bytes.length]) {
    const reader = new FrameReader();
    const read: Frame[] = [];
    for (let at = 0; at < bytes.length; at += size) read.push(...reader.push(bytes.subarray(at, at + size)));
    assert.deepEqual(read, frames);
  }
});
