import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { type AddressInfo, connect, createServer } from "node:net";
import { basename, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { runCommand, silentLogger } from "@tripod/base";
import { findKubectls, interop, noKubectl } from "@tripod/testing";
import { StreamingServer } from "./server.ts";
import { childProcessHandlers } from "./testing/child-process-handlers.ts";
import { type PodApi, startPodApi } from "./testing/pod-api.ts";

/** Every versioned kubectl of this machine, or the only one. */
const all = findKubectls();
const versioned = all.filter(({ version }) => version !== "default");
const kubectls = (versioned.length > 0 ? versioned : all).map(({ version, path }) => ({
  name: basename(path),
  version,
  path,
}));
const megabytes = randomBytes(3 * 1024 * 1024);

describe("the real kubectl", { skip: noKubectl ?? false }, () => {
  let streaming: StreamingServer;
  let api: PodApi;
  before(async () => {
    streaming = await StreamingServer.start({ handlers: childProcessHandlers, log: silentLogger });
    api = await startPodApi(streaming);
  });
  after(async () => {
    await api[Symbol.asyncDispose]();
    await streaming.close();
  });
  const argsOf = (name: string): string[] => ["--kubeconfig", api.kubeconfig, "--cache-dir", join(api.dir, name)];

  for (const { name, version, path } of kubectls) {
    const kubectl = (args: readonly string[], input?: Uint8Array) =>
      runCommand(path, [...argsOf(name), ...args], {
        okExitCodes: "any",
        timeoutMs: 40_000,
        env: { ...process.env, HOME: api.dir },
        ...(input === undefined ? {} : { input }),
      });

    describe(interop({ interface: "streaming", caller: `kubectl ${version}`, callee: "Tripod's streaming server" }), {
      concurrency: 2,
    }, () => {
      test(`${name} exec: output, errors and exit code arrive`, async () => {
        const result = await kubectl(["exec", "y", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
        assert.equal(result.exitCode, 7);
        assert.equal(result.stdout.toString(), "out\n");
        assert.match(result.stderr.toString(), /^err\ncommand terminated with exit code 7\n$/);
      });

      test(`${name} exec -i: megabytes pass through cat unharmed, and the input's end ends it`, async () => {
        const result = await kubectl(["exec", "-i", "y", "--", "cat"], megabytes);
        assert.equal(result.exitCode, 0, result.stderr.toString());
        assert.ok(result.stdout.equals(megabytes), `${result.stdout.length} bytes came back`);
      });

      test(`${name} exec: a command that cannot run is an error with its reason`, async () => {
        const result = await kubectl(["exec", "y", "--", "/no/such/command"]);
        assert.notEqual(result.exitCode, 0);
        assert.match(result.stderr.toString(), /\/no\/such\/command/);
      });

      test(`${name} attach -i reaches the container's process`, async () => {
        const result = await kubectl(["attach", "-i", "y", "-c", "main"], Buffer.from("hello\n"));
        assert.equal(result.exitCode, 0, result.stderr.toString());
        assert.equal(result.stdout.toString(), "attached to main\nhello\n");
      });

      test(`${name} port-forward carries megabytes both ways over several connections`, async () => {
        await using echo = await startDigestServer();
        await using forward = await startForward(path, [...argsOf(name), "port-forward", "pod/y", `:${echo.port}`]);
        await Promise.all([1, 2, 3].map(() => digestOver(forward.port)));
      });
    });
  }

  test("each kubectl used its own transport and needed no other", () => {
    for (const { name } of kubectls) {
      const own = api.upgrades.filter((line) => line.includes(`${name}/`));
      const minor = Number(/\d+$/.exec(name)?.[0]);
      const expected = (line: string): boolean =>
        /portforward/.test(line)
          ? minor >= 31 === line.startsWith("GET websocket")
          : minor >= 30 === line.startsWith("GET websocket");
      assert.ok(own.length > 0);
      assert.deepEqual(
        own.filter((line) => !expected(line)),
        [],
      );
    }
  });
});

/** Answers whatever is sent, until the sender's end, with its SHA-256 and then the same bytes. */
async function startDigestServer(): Promise<AsyncDisposable & { port: number }> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("error", () => socket.destroy());
    socket.on("end", () => {
      const all = Buffer.concat(chunks);
      socket.write(createHash("sha256").update(all).digest());
      socket.end(all);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port, // it listens on TCP
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

async function digestOver(port: number): Promise<void> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  socket.end(megabytes);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer); // no encoding is set
  const all = Buffer.concat(chunks);
  assert.ok(all.subarray(0, 32).equals(createHash("sha256").update(megabytes).digest()), "the digest of what arrived");
  assert.ok(all.subarray(32).equals(megabytes), "what came back");
}

async function startForward(path: string, args: readonly string[]): Promise<AsyncDisposable & { port: number }> {
  const child = spawn(path, args, { stdio: ["ignore", "pipe", "inherit"] });
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const port = await new Promise<number>((resolve, reject) => {
    child.stdout.on("data", (text: Buffer) => {
      const found = /Forwarding from 127\.0\.0\.1:(\d+)/.exec(text.toString());
      if (found !== null) resolve(Number(found[1]));
    });
    void exited.then(() => reject(new Error("kubectl port-forward ended at once")));
  });
  return {
    port,
    async [Symbol.asyncDispose]() {
      child.kill();
      await exited;
    },
  };
}
