import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { PassThrough, Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { after, before, describe, test } from "node:test";
import { isTripodError, silentLogger, TripodError } from "@tripod/base";
import { execOverSpdy, execOverWebSocket, type RemoteCommandOptions } from "./client/command.ts";
import { StreamingServer } from "./server.ts";
import type { ExecRequest, ExecResult, RemoteStreams, StreamingHandlers, TerminalSize } from "./types.ts";

type Work = (streams: RemoteStreams, request: ExecRequest) => Promise<number>;

/** What the commands of these tests do, by name. */
const works: Record<string, Work> = {
  async echo({ stdin, stdout }) {
    if (stdin !== undefined && stdout !== undefined) await pipeline(stdin, stdout);
    return 0;
  },
  async count({ stdin, stdout }) {
    let size = 0;
    for await (const chunk of stdin ?? []) size += (chunk as Buffer).length; // bytes
    stdout?.write(String(size));
    return 0;
  },
  async flood({ stdout, stderr }, { cmd }) {
    const total = Number(cmd[1]);
    await Promise.all([
      stdout === undefined ? undefined : pipeline(zeros(total), stdout),
      stderr === undefined ? undefined : pipeline(zeros(total), stderr),
    ]);
    return 0;
  },
  async fail() {
    throw new TripodError("not-found", "exec in container c1: no such container; create it first");
  },
  exit: async (_streams, { cmd }) => Number(cmd[1]),
  async sizes({ resize, stdout, stdin }) {
    stdout?.write("ready");
    for await (const size of resize) {
      stdout?.write(`${size.width}x${size.height};`);
      if (size.width === 200) return 0;
    }
    stdin?.resume();
    return 1;
  },
  async wait({ signal }) {
    if (!signal.aborted) await once(signal, "abort");
    return 0;
  },
  async ignoreInput({ stdout }) {
    stdout?.write("done without reading");
    return 4;
  },
};

async function* zeros(total: number): AsyncGenerator<Buffer, void, undefined> {
  for (let sent = 0; sent < total; sent += 65536) yield Buffer.alloc(Math.min(65536, total - sent));
}

const handlers: StreamingHandlers = {
  async exec(request, streams) {
    const work = works[request.cmd[0] ?? ""];
    if (work === undefined) throw new TripodError("not-found", "exec: no such command");
    return { exitCode: await work(streams, request) };
  },
  async attach(_request, { stdin, stdout }) {
    if (stdin !== undefined && stdout !== undefined) await pipeline(stdin, stdout);
  },
  async portForward() {},
};

const collector = (): { stream: Writable; bytes: () => Buffer } => {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk);
      done();
    },
  });
  return { stream, bytes: () => Buffer.concat(chunks) };
};

let server: StreamingServer;
before(async () => {
  server = await StreamingServer.start({ handlers, log: silentLogger });
});
after(() => server.close());

const urlOf = (cmd: readonly string[], more: Partial<ExecRequest> = {}): string =>
  server.urlForExec({ containerId: "c1", cmd, tty: false, stdin: false, stdout: true, stderr: false, ...more });

type Exec = (options: RemoteCommandOptions) => Promise<ExecResult>;
const transports: { name: string; exec: Exec; endsInput: boolean; json: boolean }[] = [
  ...["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"].map((protocol) => ({
    name: `SPDY ${protocol}`,
    exec: (options: RemoteCommandOptions) => execOverSpdy({ ...options, protocols: [protocol] }),
    endsInput: true,
    json: protocol.startsWith("v4"),
  })),
  ...[
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
  ].map((protocol) => ({
    name: `WebSocket ${protocol}`,
    exec: (options: RemoteCommandOptions) => execOverWebSocket({ ...options, protocols: [protocol] }),
    endsInput: protocol.startsWith("v5"),
    json: /^v[45]/.test(protocol),
  })),
];

for (const { name, exec, endsInput } of transports) {
  describe(name, () => {
    if (endsInput) {
      test("input passes through the command and back, and its end arrives", async () => {
        const data = randomBytes(2 * 1024 * 1024 + 17);
        const out = collector();
        const url = urlOf(["echo"], { stdin: true });
        const result = await exec({ url, stdin: Readable.from([data]), stdout: out.stream });
        assert.deepEqual(result, { exitCode: 0 });
        assert.ok(out.bytes().equals(data), `${out.bytes().length} bytes came back`);
      });
    }

    test("all output arrives before the result, stdout and stderr apart", async () => {
      const [out, err] = [collector(), collector()];
      const url = urlOf(["flood", "3000001"], { stderr: true });
      assert.deepEqual(await exec({ url, stdout: out.stream, stderr: err.stream }), { exitCode: 0 });
      assert.equal(out.bytes().length, 3_000_001);
      assert.equal(err.bytes().length, 3_000_001);
    });

    test("the exit code arrives", async () => {
      assert.deepEqual(await exec({ url: urlOf(["exit", "137"]), stdout: collector().stream }), { exitCode: 137 });
    });

    test("a failure arrives as the message that was thrown", async () => {
      await assert.rejects(
        exec({ url: urlOf(["fail"]), stdout: collector().stream }),
        /exec in container c1: no such container/,
      );
    });

    test("a command that ends without reading its input loses no output", async () => {
      const out = collector();
      const url = urlOf(["ignoreInput"], { stdin: true });
      const stdin = Readable.from(zeros(8 * 1024 * 1024));
      assert.deepEqual(await exec({ url, stdin, stdout: out.stream }), { exitCode: 4 });
      assert.equal(out.bytes().toString(), "done without reading");
    });
  });
}

for (const { name, exec } of transports.filter(({ name }) => /SPDY v[34]|WebSocket v[45].channel/.test(name))) {
  test(`${name}: sizes of the terminal arrive in order`, async () => {
    const ready = Promise.withResolvers<void>();
    const seen: string[] = [];
    const steps = new Map<string, PromiseWithResolvers<void>>([
      ["80x24;", Promise.withResolvers<void>()],
      ["200x50;", Promise.withResolvers<void>()],
    ]);
    const stdout = new Writable({
      write(chunk: Buffer, _encoding, done) {
        seen.push(chunk.toString());
        ready.resolve();
        for (const [text, step] of steps) if (seen.join("").includes(text)) step.resolve();
        done();
      },
    });
    async function* resize(): AsyncGenerator<TerminalSize, void, undefined> {
      await ready.promise;
      yield { width: 80, height: 24 };
      await steps.get("80x24;")?.promise;
      yield { width: 200, height: 50 };
    }
    const url = urlOf(["sizes"], { tty: true });
    assert.deepEqual(await exec({ url, stdout, resize: resize() }), { exitCode: 0 });
    assert.equal(seen.join(""), "ready80x24;200x50;");
  });
}

for (const { name, exec } of transports.filter(({ name }) => /SPDY v4|WebSocket v5/.test(name))) {
  test(`${name}: a reader that stops holds the command back, in bounded memory`, async () => {
    let produced = 0;
    works.produce = async ({ stdout }) => {
      const source = async function* (): AsyncGenerator<Buffer, void, undefined> {
        for (; produced < 256; produced += 1) yield Buffer.alloc(1024 * 1024);
      };
      if (stdout !== undefined) await pipeline(source, stdout);
      return 0;
    };
    const gate = new PassThrough({ highWaterMark: 1024 });
    const running = exec({ url: urlOf(["produce"]), stdout: gate });
    await once(gate, "readable");
    // The source goes on until every buffer on the way is full; then nothing moves for some turns in a row.
    for (let before = -1; before !== produced; ) {
      before = produced;
      for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    }
    assert.ok(produced < 64, `${produced} MiB were produced with no reader`);
    gate.resume();
    assert.deepEqual(await running, { exitCode: 0 });
    assert.equal(produced, 256);
  });

  test(`${name}: a command that does not read holds the sender back`, async () => {
    let sent = 0;
    const open = Promise.withResolvers<void>();
    works.lazy = async ({ stdin }) => {
      await open.promise;
      stdin?.resume();
      if (stdin !== undefined) await once(stdin, "end");
      return 0;
    };
    const source = async function* (): AsyncGenerator<Buffer, void, undefined> {
      for (; sent < 256; sent += 1) yield Buffer.alloc(1024 * 1024);
    };
    const url = urlOf(["lazy"], { stdin: true });
    const running = exec({ url, stdin: Readable.from(source()), stdout: collector().stream });
    for (let before = -1; before !== sent || sent === 0; ) {
      before = sent;
      for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    }
    assert.ok(sent < 64, `${sent} MiB were taken with no reader`);
    open.resolve();
    assert.deepEqual(await running, { exitCode: 0 });
    assert.equal(sent, 256);
  });

  test(`${name}: the handler's signal is aborted when the client goes away`, async () => {
    const abort = new AbortController();
    const [started, gone] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    works.untilGone = async ({ signal }) => {
      signal.addEventListener("abort", () => gone.resolve());
      started.resolve();
      await gone.promise;
      return 0;
    };
    const url = urlOf(["untilGone"], { stdin: true });
    const running = exec({ url, stdin: new PassThrough(), stdout: collector().stream, signal: abort.signal });
    await started.promise;
    abort.abort();
    await assert.rejects(running);
    await gone.promise;
  });
}

test("a hundred sessions run side by side", async () => {
  const data = randomBytes(50_000);
  await Promise.all(
    Array.from({ length: 100 }, async (_, index) => {
      const out = collector();
      const exec = index % 2 === 0 ? execOverSpdy : execOverWebSocket;
      await exec({ url: urlOf(["echo"], { stdin: true }), stdin: Readable.from([data]), stdout: out.stream });
      assert.ok(out.bytes().equals(data));
    }),
  );
});

test("attach carries the container's own streams", async () => {
  const out = collector();
  const url = server.urlForAttach({ containerId: "c1", tty: false, stdin: true, stdout: true, stderr: false });
  const result = await execOverSpdy({ url, stdin: Readable.from(["hello"]), stdout: out.stream });
  assert.deepEqual(result, { exitCode: 0 });
  assert.equal(out.bytes().toString(), "hello");
});

test("a URL is good once", async () => {
  const url = urlOf(["exit", "0"]);
  await execOverSpdy({ url, stdout: collector().stream });
  const again = execOverSpdy({ url, stdout: collector().stream });
  await assert.rejects(again, (error) => isTripodError(error, "not-found"));
  await assert.rejects(execOverWebSocket({ url, stdout: collector().stream }), (error) =>
    isTripodError(error, "not-found"),
  );
});

test("a URL of one kind does not serve another", async () => {
  const url = urlOf(["exit", "0"]).replace("/exec/", "/attach/");
  await assert.rejects(execOverSpdy({ url, stdout: collector().stream }), (error) => isTripodError(error, "not-found"));
});

test("a URL expires, and only so many wait", async () => {
  await using small = await StreamingServer.start({ handlers, log: silentLogger, tokenLifetimeMs: 1, maxTokens: 1 });
  const request = { containerId: "c", cmd: ["exit", "0"], tty: false, stdin: false, stdout: true, stderr: false };
  const url = small.urlForExec(request);
  const start = performance.now();
  while (performance.now() - start < 2) await new Promise((resolve) => setImmediate(resolve));
  await assert.rejects(execOverSpdy({ url, stdout: collector().stream }), (error) => isTripodError(error, "not-found"));
  await using full = await StreamingServer.start({ handlers, log: silentLogger, maxTokens: 1 });
  full.urlForExec(request);
  assert.throws(
    () => full.urlForExec(request),
    (error) => isTripodError(error, "exhausted"),
  );
});

test("a request for no stream, and one for a terminal with stderr, are refused", () => {
  assert.throws(
    () => urlOf(["x"], { stdout: false }),
    (error) => isTripodError(error, "invalid"),
  );
  assert.throws(
    () => urlOf(["x"], { tty: true, stderr: true }),
    (error) => isTripodError(error, "invalid"),
  );
});

test("a client that offers unknown protocols is told which are known", async () => {
  await assert.rejects(execOverSpdy({ url: urlOf(["exit", "0"]), protocols: ["v9.channel.k8s.io"] }), /403.*v9/);
  await assert.rejects(execOverWebSocket({ url: urlOf(["exit", "0"]), protocols: ["v9.channel.k8s.io"] }), /403.*v5/s);
});

test("a request without Upgrade is a 400, an unknown one a 404", async () => {
  const statusOf = (url: string): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const request = httpRequest(url, { agent: false }, (response) => {
        response.resume();
        response.once("end", () => resolve(response.statusCode));
      });
      request.once("error", reject);
      request.end();
    });
  assert.equal(await statusOf(urlOf(["exit", "0"])), 400);
  assert.equal(await statusOf(`${server.url}/exec/guess`), 404);
});

test("a client that does not open its streams in time is dropped", async () => {
  await using hasty = await StreamingServer.start({ handlers, log: silentLogger, creationTimeoutMs: 200 });
  const url = hasty.urlForExec({
    containerId: "c1",
    cmd: ["exit", "0"],
    tty: false,
    stdin: true,
    stdout: true,
    stderr: false,
  });
  await assert.rejects(execOverSpdy({ url, stdout: collector().stream }), (error) =>
    isTripodError(error, "unavailable"),
  );
});

test("a session without data ends after the idle timeout", async () => {
  await using idle = await StreamingServer.start({ handlers, log: silentLogger, idleTimeoutMs: 100 });
  const request = { containerId: "idle", cmd: ["wait"], tty: false, stdin: false, stdout: true, stderr: false };
  for (const exec of [execOverSpdy, execOverWebSocket])
    await assert.rejects(exec({ url: idle.urlForExec(request), stdout: collector().stream }));
});
