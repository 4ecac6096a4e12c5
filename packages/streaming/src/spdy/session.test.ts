import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { describe, test } from "node:test";
import { createDeflate, constants } from "node:zlib";
import { isTripodError } from "@tripod/base";
import { controlFrame, dataFrameHeader, frameType } from "./frame.ts";
import { encodeHeaderBlock, parseHeaderBlock } from "./header-block.ts";
import { HeaderDeflater, HeaderInflater } from "./header-compression.ts";
import { headerDictionary } from "./header-dictionary.ts";
import { SpdySession, type SpdySessionOptions } from "./session.ts";
import type { SpdyStream } from "./stream.ts";

/** Two ends of a TCP connection on loopback. */
async function socketPair(): Promise<AsyncDisposable & { near: Socket; far: Socket }> {
  const server = createServer({ allowHalfOpen: true });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
  const near = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", allowHalfOpen: true }); // it listens on TCP
  const far = await accepted;
  near.on("error", () => {});
  return {
    near,
    far,
    async [Symbol.asyncDispose]() {
      near.destroy();
      far.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

const echo = (stream: SpdyStream): void => {
  stream.reply();
  stream.pipe(stream);
};

async function bytesOf(stream: SpdyStream): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer); // no encoding is set
  return Buffer.concat(chunks);
}

test("the dictionary is the protocol's", () => {
  assert.equal(headerDictionary.length, 1423);
  assert.equal(
    createHash("sha256").update(headerDictionary).digest("hex"),
    "51d27341373f923f3cd88e1eb7162aeaa3723d7585ff2399201dc06498407f02",
  );
});

test("hundreds of streams carry data both ways side by side", async () => {
  await using pair = await socketPair();
  const server = new SpdySession(pair.far, { role: "server", onStream: echo });
  const client = new SpdySession(pair.near, { role: "client" });
  await Promise.all(
    Array.from({ length: 400 }, async (_, index) => {
      const stream = await client.open([["streamtype", "data"]]);
      const data = randomBytes(20_000 + index);
      stream.end(data);
      assert.ok((await bytesOf(stream)).equals(data));
    }),
  );
  await client.ping();
  assert.equal(server.streamCount, 0, "no stream is left behind");
  await client.close();
  assert.deepEqual(await server.closed, {});
});

test("a stream whose reader sleeps does not hold up the others", async () => {
  await using pair = await socketPair();
  const sleepers: SpdyStream[] = [];
  new SpdySession(pair.far, {
    role: "server",
    onStream(stream) {
      if (stream.headers.get("kind") === "echo") echo(stream);
      else {
        stream.reply();
        sleepers.push(stream);
      }
    },
  });
  const client = new SpdySession(pair.near, { role: "client" });
  const stuck = await client.open([["kind", "sleep"]]);
  const data = randomBytes(5 * 1024 * 1024);
  stuck.end(data);
  const stream = await client.open([["kind", "echo"]]);
  stream.end(data);
  assert.ok((await bytesOf(stream)).equals(data));
  const [sleeper] = sleepers;
  assert.ok(sleeper !== undefined);
  assert.ok(sleeper.readableLength <= 1024 * 1024, `${sleeper.readableLength} bytes wait unread`);
  assert.ok((await bytesOf(sleeper)).equals(data), "and loses nothing");
});

test("destroying a stream resets it at the peer, and nothing else", async () => {
  await using pair = await socketPair();
  const broken = Promise.withResolvers<Error>();
  new SpdySession(pair.far, {
    role: "server",
    onStream(stream) {
      if (stream.headers.get("kind") === "echo") echo(stream);
      else {
        stream.reply();
        stream.once("error", broken.resolve);
        stream.resume();
      }
    },
  });
  const client = new SpdySession(pair.near, { role: "client" });
  const stream = await client.open([["kind", "other"]]);
  stream.destroy();
  assert.match((await broken.promise).message, /peer reset stream/);
  const other = await client.open([["kind", "echo"]]);
  other.end("still here");
  assert.equal((await bytesOf(other)).toString(), "still here");
});

test("a refused stream is an error of its opener", async () => {
  await using pair = await socketPair();
  new SpdySession(pair.far, { role: "server", onStream: (stream) => stream.refuse() });
  const client = new SpdySession(pair.near, { role: "client" });
  await assert.rejects(client.open([["a", "b"]]), (error) => isTripodError(error, "unavailable"));
});

test("what came before the server reset a stream can still be read, then the reset is an error", async () => {
  await using pair = await socketPair();
  new SpdySession(pair.far, {
    role: "server",
    onStream: (stream) => {
      stream.reply();
      stream.write("all of it", () => stream.destroy());
    },
  });
  const client = new SpdySession(pair.near, { role: "client" });
  const stream = await client.open([]);
  const marker = await client.open([]); // when it is reset too, the first one has been
  await new Promise((resolve) => marker.once("data", resolve));
  let text = "";
  await assert.rejects(
    async () => {
      for await (const chunk of stream) text += String(chunk);
    },
    (error) => isTripodError(error, "cancelled"),
  );
  assert.equal(text, "all of it");
});

test("a stream that the server resets after its end has ended", async () => {
  await using pair = await socketPair();
  new SpdySession(pair.far, {
    role: "server",
    onStream: (stream) => {
      stream.reply();
      stream.end("all of it", () => stream.destroy());
    },
  });
  const client = new SpdySession(pair.near, { role: "client" });
  const stream = await client.open([]);
  stream.write("never read");
  const marker = await client.open([]);
  await new Promise((resolve) => marker.once("data", resolve));
  assert.equal((await bytesOf(stream)).toString(), "all of it");
});

test("streams beyond the limit are refused", async () => {
  await using pair = await socketPair();
  new SpdySession(pair.far, { role: "server", maxStreams: 2, onStream: (stream) => stream.reply() });
  const client = new SpdySession(pair.near, { role: "client" });
  await client.open([]);
  await client.open([]);
  await assert.rejects(client.open([]), (error) => isTripodError(error, "unavailable"));
});

test("an abrupt end fails open streams and pings are answered no more", async () => {
  await using pair = await socketPair();
  new SpdySession(pair.far, { role: "server", onStream: (stream) => stream.reply() });
  const client = new SpdySession(pair.near, { role: "client" });
  const stream = await client.open([]);
  const failed = new Promise<Error>((resolve) => stream.once("error", resolve));
  pair.far.destroy();
  assert.ok(isTripodError(await failed, "unavailable"));
  await client.ping();
  await client.closed;
});

test("header blocks of a compressing peer are read in order", async () => {
  const deflate = createDeflate({ dictionary: headerDictionary, level: 9 });
  const inflater = new HeaderInflater();
  let parts: Buffer[] = [];
  deflate.on("data", (part: Buffer) => parts.push(part));
  for (const text of ["stdout", "stdout", "x".repeat(20_000), "", "stdin"]) {
    const block = encodeHeaderBlock([["streamtype", text]]);
    parts = [];
    await new Promise<void>((resolve) => {
      deflate.write(block);
      deflate.flush(constants.Z_SYNC_FLUSH, resolve);
    });
    assert.equal(parseHeaderBlock(await inflater.decode(Buffer.concat(parts))).get("streamtype"), text);
  }
  inflater.close();
  deflate.destroy();
});

const word = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
};
const stringOf = (text: string): Buffer => Buffer.concat([word(text.length), Buffer.from(text)]);

describe("malformed header blocks are refused", () => {
  const rows: { why: string; block: Buffer }[] = [
    { why: "no count", block: Buffer.alloc(2) },
    { why: "a count beyond the limit", block: word(0xffffffff) },
    { why: "fewer headers than counted", block: word(2) },
    { why: "a name longer than the block", block: Buffer.concat([word(1), word(1_000_000), Buffer.from("a")]) },
    { why: "a name without a value", block: Buffer.concat([word(1), stringOf("a")]) },
    { why: "an empty name", block: Buffer.concat([word(1), stringOf(""), stringOf("v")]) },
    { why: "a name twice", block: Buffer.concat([word(2), ...["a", "1", "a", "2"].map(stringOf)]) },
    { why: "bytes after the end", block: Buffer.concat([word(0), Buffer.from("x")]) },
  ];
  for (const { why, block } of rows)
    test(why, () =>
      assert.throws(
        () => parseHeaderBlock(block),
        (error) => isTripodError(error, "invalid"),
      ),
    );
});

describe("a hostile peer", () => {
  const serverOptions: SpdySessionOptions = { role: "server", onStream: echo };
  const synStream = (streamId: number, compressed: Buffer): Buffer =>
    controlFrame(frameType.synStream, 0, [streamId, 0], Buffer.concat([Buffer.from([0, 0]), compressed]));
  const goodBlock = (): Buffer => new HeaderDeflater().encode(encodeHeaderBlock([["streamtype", "data"]]));
  const bomb = (): Promise<Buffer> =>
    new Promise((resolve) => {
      const deflate = createDeflate({ dictionary: headerDictionary, level: 9 });
      const parts: Buffer[] = [];
      deflate.on("data", (part: Buffer) => parts.push(part));
      deflate.write(Buffer.alloc(20 * 1024 * 1024));
      deflate.flush(constants.Z_SYNC_FLUSH, () => resolve(Buffer.concat(parts)));
    });
  const rows: { why: string; bytes: () => Buffer | Promise<Buffer> }[] = [
    { why: "another version", bytes: () => Buffer.from("8002000100000000", "hex") },
    { why: "a control frame of 16 MiB", bytes: () => Buffer.from("8003000100ffffff", "hex") },
    { why: "a frame too short for its type", bytes: () => controlFrame(frameType.rstStream, 0, [1]) },
    { why: "headers that are not zlib", bytes: () => synStream(1, Buffer.from("not zlib data")) },
    { why: "a zlib bomb", bytes: async () => synStream(1, await bomb()) },
    { why: "stream 0", bytes: () => synStream(0, goodBlock()) },
    { why: "a stream number of the other side", bytes: () => synStream(2, goodBlock()) },
    { why: "random bytes", bytes: () => Buffer.concat([Buffer.from([0xff]), randomBytes(100_000)]) },
  ];
  for (const { why, bytes } of rows) {
    test(`is dropped for ${why}`, async () => {
      await using pair = await socketPair();
      const session = new SpdySession(pair.far, serverOptions);
      pair.near.resume();
      pair.near.once("end", () => pair.near.end());
      pair.near.write(await bytes());
      const { error } = await session.closed;
      assert.ok(error?.code === "invalid", `${error?.message}`);
    });
  }

  test("data for unknown streams, and frames of unknown types, are passed over", async () => {
    await using pair = await socketPair();
    const session = new SpdySession(pair.far, serverOptions);
    pair.near.resume();
    pair.near.write(Buffer.concat([dataFrameHeader(77, 1, 5), Buffer.from("hello"), controlFrame(77, 0, [1, 2, 3])]));
    pair.near.write(
      Buffer.concat([controlFrame(frameType.rstStream, 0, [99, 5]), controlFrame(frameType.windowUpdate, 0, [99, 1])]),
    );
    await session.ping.call(new SpdySession(pair.near, { role: "client" }));
    assert.equal(session.streamCount, 0);
  });

  test("overrunning a window resets that stream alone", async () => {
    await using pair = await socketPair();
    const reset = Promise.withResolvers<Error>();
    const session = new SpdySession(pair.far, {
      role: "server",
      onStream(stream) {
        stream.reply();
        stream.once("error", reset.resolve);
      },
    });
    pair.near.resume();
    pair.near.write(Buffer.concat([controlFrame(frameType.settings, 0, [0]), synStream(1, goodBlock())]));
    pair.near.write(dataFrameHeader(1, 0, 2 * 1024 * 1024));
    pair.near.write(Buffer.alloc(2 * 1024 * 1024));
    assert.ok(isTripodError(await reset.promise, "invalid"));
    assert.equal(pair.far.destroyed, false);
    assert.equal(session.streamCount, 0);
  });

  test("frames cut into single bytes are put together", async () => {
    await using pair = await socketPair();
    pair.near.setNoDelay(true);
    const opened = Promise.withResolvers<SpdyStream>();
    new SpdySession(pair.far, { role: "server", onStream: opened.resolve });
    for (const byte of Buffer.concat([synStream(1, goodBlock()), dataFrameHeader(1, 1, 2), Buffer.from("ok")]))
      pair.near.write(Buffer.from([byte]));
    const stream = await opened.promise;
    stream.reply();
    assert.equal((await bytesOf(stream)).toString(), "ok");
  });
});
