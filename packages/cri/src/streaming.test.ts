import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, readFileSync, renameSync } from "node:fs";
import { PassThrough, type Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { ContainerState } from "@tripod/api/cri";
import { AsyncQueue, isTripodError } from "@tripod/base";
import {
  execOverSpdy,
  execOverWebSocket,
  portForwardOverSpdy,
  portForwardOverWebSocket,
  type TerminalSize,
} from "@tripod/streaming";
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

const carriedSoFar = new WeakMap<Readable, { text: string }>();

/** Resolves once the stream has carried the text; nothing that it carries is lost between two calls. */
async function carried(stream: Readable, wanted: string): Promise<string> {
  let seen = carriedSoFar.get(stream);
  if (seen === undefined) {
    const started = { text: "" };
    seen = started;
    carriedSoFar.set(stream, started);
    stream.on("data", (chunk: Buffer) => {
      started.text += chunk.toString();
    });
  }
  while (!seen.text.includes(wanted)) await once(stream, "data");
  return seen.text;
}

for (const [name, exec] of [
  ["SPDY", execOverSpdy],
  ["WebSocket", execOverWebSocket],
] as const) {
  test(`exec over ${name} carries stdin, stdout, stderr and the exit code`, async () => {
    const containerId = await node.run(podSandboxId, "sleep 1000");
    const { url } = await node.runtime.exec({
      containerId,
      cmd: ["sh", "-c", "cat; echo oops >&2; exit 9"],
      stdin: true,
      stdout: true,
      stderr: true,
    });
    const stdin = new PassThrough();
    const stdout = new PassThrough();
    const stderr = new PassThrough();
    const big = "0123456789".repeat(50_000);
    stdin.end(big);
    const [result, out, err] = await Promise.all([
      exec({ url, stdin, stdout, stderr }).finally(() => {
        stdout.end();
        stderr.end();
      }),
      text(stdout),
      text(stderr),
    ]);
    assert.equal(result.exitCode, 9);
    assert.equal(out.length, big.length);
    assert.equal(out, big);
    assert.equal(err, "oops\n");
    await assert.rejects(exec({ url, stdout: new PassThrough() }), /404|no such request/); // a URL serves once
  });
}

test("exec of what cannot be run says so as other runtimes do; a shell's 126 and 127 are exit codes", async () => {
  const containerId = await node.run(podSandboxId, "sleep 1000");
  for (const [cmd, why] of [
    [["/no/such/program"], /exec: "\/no\/such\/program": stat \/no\/such\/program: no such file or directory/],
    [["nosuch"], /exec: "nosuch": executable file not found in \$PATH/],
    [["/etc/passwd"], /exec: "\/etc\/passwd": permission denied/],
  ] as const) {
    for (const exec of [execOverSpdy, execOverWebSocket]) {
      const { url } = await node.runtime.exec({ containerId, cmd: [...cmd], stdout: true });
      await assert.rejects(exec({ url, stdout: new PassThrough() }), why);
    }
    await assert.rejects(node.runtime.execSync({ containerId, cmd: [...cmd] }), why);
  }
  for (const [command, exitCode] of [
    ["/etc/passwd", 126],
    ["nosuch", 127],
    ["kill -9 $$", 137],
  ] as const) {
    const cmd = ["sh", "-c", command];
    const { url } = await node.runtime.exec({ containerId, cmd, stdout: true });
    assert.equal((await execOverWebSocket({ url, stdout: new PassThrough() })).exitCode, exitCode);
    assert.equal((await node.runtime.execSync({ containerId, cmd })).exitCode, exitCode);
  }
});

test("ExecSync keeps the first 16 MiB of both streams together, and the command runs to its end", async () => {
  const containerId = await node.run(podSandboxId, "sleep 1000");
  const limit = 16 * 1024 * 1024;
  const run = (script: string) => node.runtime.execSync({ containerId, cmd: ["sh", "-c", script] });
  const one = await run("head -c 20000000 /dev/zero; echo why >&2; exit 3");
  assert.equal(one.exitCode, 3);
  assert.equal(Buffer.from(one.stderr).toString(), "why\n");
  assert.ok(one.stdout.length < limit && one.stdout.length > limit - 100, `${one.stdout.length} bytes`);
  const both = await run("head -c 20000000 /dev/zero & head -c 20000000 /dev/zero >&2; wait");
  const whole = both.stdout.length + both.stderr.length;
  assert.equal(both.stdout.length, both.stderr.length);
  assert.ok(whole < limit && whole > limit - 100, `${whole} bytes`);
});

test("ExecSync's timeout ends what the command has put into the background too, and the caller's leaving does the same", async () => {
  const containerId = await node.run(podSandboxId, "sleep 1000");
  const processes = async (): Promise<string> =>
    Buffer.from((await node.runtime.execSync({ containerId, cmd: ["ps"] })).stdout).toString();
  // One child of the command, one that its parent has left behind, one that left the terminal's process group.
  const cmd = ["sh", "-c", "sleep 661 & (sleep 662 &); (set -m; sleep 663 & ); touch /on; sleep 664"];
  await assert.rejects(node.runtime.execSync({ containerId, cmd, timeout: 1n }), (error) =>
    isTripodError(error, "timeout"),
  );
  assert.doesNotMatch(await processes(), /sleep 66/);
  await node.runtime.execSync({ containerId, cmd: ["rm", "-f", "/on"] });
  const leave = new AbortController();
  const left = node.runtime.execSync({ containerId, cmd }, { signal: leave.signal });
  left.catch(() => {}); // looked at below
  while ((await node.runtime.execSync({ containerId, cmd: ["test", "-e", "/on"] })).exitCode !== 0) continue;
  leave.abort();
  await assert.rejects(left);
  while (/sleep 66/.test(await processes())) continue;
});

for (const [name, exec] of [
  ["SPDY", execOverSpdy],
  ["WebSocket", execOverWebSocket],
] as const)
  test(`exec with a terminal over ${name} follows its size`, async () => {
    const containerId = await node.run(podSandboxId, "sleep 1000");
    const cmd = ["sh", "-c", "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done"];
    const { url } = await node.runtime.exec({ containerId, cmd, tty: true, stdin: true, stdout: true });
    const stdin = new PassThrough();
    const stdout = new PassThrough();
    const resize = new AsyncQueue<TerminalSize>();
    const result = exec({ url, stdin, stdout, resize });
    await carried(stdout, "ready");
    resize.push({ width: 111, height: 44 });
    assert.match(await carried(stdout, "44 111"), /44 111/);
    assert.equal((await result).exitCode, 0);
    resize.close();
  });

for (const tty of [false, true])
  test(`a peer that goes away ends the command that it ran${tty ? " on a terminal" : ""}`, async () => {
    const containerId = await node.run(podSandboxId, "sleep 1000");
    // The one in the background ignores what a terminal sends when it hangs up.
    const cmd = ["sh", "-c", "trap '' HUP; sleep 888 & echo on; sleep 888"];
    const { url } = await node.runtime.exec({ containerId, cmd, tty, stdout: true });
    const abort = new AbortController();
    const stdout = new PassThrough();
    const result = (tty ? execOverSpdy : execOverWebSocket)({
      url,
      stdout,
      ...(tty && { resize: new AsyncQueue<TerminalSize>() }),
      signal: abort.signal,
    });
    await carried(stdout, "on");
    abort.abort();
    await assert.rejects(result);
    for (;;) {
      const { stdout: ps } = await node.runtime.execSync({ containerId, cmd: ["ps"] });
      if (!Buffer.from(ps).toString().includes("sleep 888")) break;
    }
  });

test("attach joins the container's own streams", async () => {
  const containerId = await node.create(
    podSandboxId,
    "while read line; do echo got $line; echo err $line >&2; done; echo bye",
    {
      stdin: true,
      stdinOnce: true,
    },
  );
  await node.runtime.startContainer({ containerId });
  const { url } = await node.runtime.attach({ containerId, stdin: true, stdout: true, stderr: true });
  const stdin = new PassThrough();
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const session = execOverSpdy({ url, stdin, stdout, stderr });
  stdin.write("one\n");
  await Promise.all([carried(stdout, "got one"), carried(stderr, "err one")]);
  stdin.end("two\n");
  await carried(stdout, "bye");
  await session;
  const status = await node.reached(containerId, ContainerState.CONTAINER_EXITED);
  assert.equal(status.exitCode, 0);
  assert.ok((await node.log(containerId)).includes("stdout F got two"));
});

test("attach to a terminal echoes, and follows its size", async () => {
  const containerId = await node.create(
    podSandboxId,
    "trap 'stty size' WINCH; echo ready; while :; do read line && echo got $line; done",
    {
      stdin: true,
      tty: true,
    },
  );
  await node.runtime.startContainer({ containerId });
  const { url } = await node.runtime.attach({ containerId, stdin: true, stdout: true, tty: true });
  const stdin = new PassThrough();
  const stdout = new PassThrough();
  const resize = new AsyncQueue<TerminalSize>();
  const abort = new AbortController();
  const session = execOverWebSocket({ url, stdin, stdout, resize, signal: abort.signal });
  stdin.write("hello\n");
  await carried(stdout, "got hello");
  resize.push({ width: 99, height: 22 });
  // The signal interrupts the shell's read; another line lets it go on.
  stdin.write("again\n");
  await carried(stdout, "22 99");
  abort.abort();
  await assert.rejects(session);
  const { status } = await node.runtime.containerStatus({ containerId });
  assert.equal(status?.state, ContainerState.CONTAINER_RUNNING); // detaching is not ending
});

for (const [name, forward] of [
  ["SPDY", portForwardOverSpdy],
  ["SPDY in a WebSocket", portForwardOverWebSocket],
] as const) {
  for (const [address, port] of [
    ["127.0.0.1", 8081],
    ["[::1]", 8082],
  ] as const)
    test(`port-forward over ${name} reaches a server on the sandbox's ${address}`, async () => {
      const containerId = await node.run(
        podSandboxId,
        `echo page > /www/index.html; echo up; exec httpd -f -p ${address}:${port} -h /www`,
      );
      const { url } = await node.runtime.portForward({ podSandboxId, port: [port] });
      await using client = await forward({ url });
      // The server listens a moment after its shell has printed: the first connection may be refused.
      let reply = "";
      while (!reply.includes("page")) {
        const connection = await client.connect(port);
        connection.on("error", () => {});
        connection.write("GET /index.html HTTP/1.0\r\n\r\n");
        reply = await text(connection).catch(() => "");
      }
      assert.match(reply, /200 OK/);
      const refused = await client.connect(1);
      const failure: unknown[] = await once(refused, "error");
      assert.match(String(failure[0]), /port 1 /);
      await node.runtime.stopContainer({ containerId, timeout: 0n });
    });
}

test("ReopenContainerLog goes on in a new file, and loses nothing where the old one was not moved", async () => {
  const containerId = await node.run(
    podSandboxId,
    "echo before; while [ ! -e /go ]; do sleep 0.02; done; echo after; sleep 1000",
  );
  const path = (await node.runtime.containerStatus({ containerId })).status?.logPath ?? "";
  while (!(await node.log(containerId)).includes("stdout F before")) await node.runtime.version({});
  await node.runtime.reopenContainerLog({ containerId });
  assert.match(readFileSync(path, "utf8"), /stdout F before\n$/);
  renameSync(path, `${path}.1`);
  await node.runtime.reopenContainerLog({ containerId });
  assert(existsSync(path), "the new file is there with the answer");
  await node.runtime.execSync({ containerId, cmd: ["touch", "/go"] });
  while (!(await node.log(containerId)).includes("stdout F after")) await node.runtime.version({});
  assert.match(readFileSync(`${path}.1`, "utf8"), /stdout F before\n$/);
  assert.doesNotMatch(readFileSync(path, "utf8"), /before/);
});
