import assert from "node:assert/strict";
import { once } from "node:events";
import { type Duplex, PassThrough, Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { execOverSpdy, execOverWebSocket, portForwardOverSpdy, portForwardOverWebSocket } from "@tripod/streaming";
import { startTestNode, type TestNode } from "./testing/test-node.ts";

let node: TestNode;
let podSandboxId: string;
before(async () => {
  node = await startTestNode();
  ({ podSandboxId } = await node.runtime.runPodSandbox({ config: node.sandboxConfig() }));
});
after(async () => {
  await node[Symbol.asyncDispose]();
});

/** Server and clients are both in this process. */
const residentMiB = (): number => process.memoryUsage.rss() / 1024 / 1024;

/** Resolves when something listens on the port of the sandbox. */
async function listens(containerId: string, port: number): Promise<void> {
  const cmd = ["sh", "-c", `netstat -ltn | grep -q :${port}`];
  while ((await node.runtime.execSync({ containerId, cmd })).exitCode !== 0) continue;
}

/** Resolves when no process of the container runs the program. */
async function ended(containerId: string, program: string): Promise<void> {
  const cmd = ["sh", "-c", `ps -o comm | grep -qx ${program}`];
  while ((await node.runtime.execSync({ containerId, cmd })).exitCode === 0) continue;
}

test("a hundred and fifty forwarded connections at once, of two streams each, carry their own bytes and leave none behind", async () => {
  const containerId = await node.run(podSandboxId, "exec nc -ll -p 7001 -e cat");
  await listens(containerId, 7001);
  await using clients = new AsyncDisposableStack();
  const all: Duplex[] = [];
  for (let index = 0; index < 15; index += 1) {
    const forward = index % 2 === 0 ? portForwardOverSpdy : portForwardOverWebSocket;
    const { url } = await node.runtime.portForward({ podSandboxId, port: [7001] });
    const client = clients.use(await forward({ url }));
    // One after the other, for this server lets but one connection wait; all stay open.
    for (let stream = 0; stream < 10; stream += 1) {
      const connection = await client.connect(7001);
      connection.write(`first ${all.length}\n`);
      const [answer]: unknown[] = await once(connection, "data");
      assert.equal(String(answer), `first ${all.length}\n`);
      all.push(connection);
    }
  }
  await Promise.all(
    all.map(async (connection, index) => {
      connection.end(`last ${index}\n`);
      assert.equal(await text(connection), `last ${index}\n`);
    }),
  );
  await ended(containerId, "cat");
  await node.runtime.stopContainer({ containerId, timeout: 0n });
});

test("connections that are flooded and read by nobody hold bounded memory, and end with their clients", async () => {
  const containerId = await node.run(podSandboxId, "exec nc -ll -p 7002 -e yes");
  await listens(containerId, 7002);
  const before = residentMiB();
  const clients = new AsyncDisposableStack();
  for (let index = 0; index < 4; index += 1) {
    const forward = index % 2 === 0 ? portForwardOverSpdy : portForwardOverWebSocket;
    const { url } = await node.runtime.portForward({ podSandboxId, port: [7002] });
    const client = clients.use(await forward({ url }));
    for (let stream = 0; stream < 10; stream += 1) {
      const connection = await client.connect(7002);
      connection.on("error", () => {}); // the client leaves in the middle
      await once(connection, "readable");
    }
  }
  const grown = residentMiB() - before;
  assert.ok(grown < 150, `grew by ${grown.toFixed(0)} MiB`);
  await clients.disposeAsync();
  await ended(containerId, "yes");
  await node.runtime.stopContainer({ containerId, timeout: 0n });
});

test("seventy-five execs at once, of four streams each, end with their own exit codes", async () => {
  const containerId = await node.run(podSandboxId, "sleep 1000");
  await Promise.all(
    Array.from({ length: 75 }, async (_, index) => {
      const cmd = ["sh", "-c", "read word; echo out $word; echo err $word >&2; exit $word"];
      const { url } = await node.runtime.exec({ containerId, cmd, stdin: true, stdout: true, stderr: true });
      const stdin = new PassThrough();
      const [stdout, stderr] = [new PassThrough(), new PassThrough()];
      stdin.end(`${index}\n`);
      const run = index % 2 === 0 ? execOverSpdy : execOverWebSocket;
      const result = run({ url, stdin, stdout, stderr }).finally(() => {
        stdout.end();
        stderr.end();
      });
      assert.deepEqual(await Promise.all([result, text(stdout), text(stderr)]), [
        { exitCode: index },
        `out ${index}\n`,
        `err ${index}\n`,
      ]);
    }),
  );
});

test("a command that floods a reader who has stopped is held back, not buffered", async () => {
  const containerId = await node.run(podSandboxId, "sleep 1000");
  const before = residentMiB();
  const leave = new AbortController();
  const sessions = await Promise.all(
    Array.from({ length: 20 }, async (_, index) => {
      const { url } = await node.runtime.exec({ containerId, cmd: ["yes"], stdout: true });
      const stopped = Promise.withResolvers<void>();
      const stdout = new Writable({ write: () => stopped.resolve() }); // it takes one chunk and never asks for another
      const run = index % 2 === 0 ? execOverSpdy : execOverWebSocket;
      const result = run({ url, stdout, signal: leave.signal });
      result.catch(() => {}); // looked at below
      await stopped.promise;
      return { result };
    }),
  );
  const grown = residentMiB() - before;
  assert.ok(grown < 200, `grew by ${grown.toFixed(0)} MiB`);
  leave.abort();
  for (const { result } of sessions) await assert.rejects(result);
  await ended(containerId, "yes");
});
