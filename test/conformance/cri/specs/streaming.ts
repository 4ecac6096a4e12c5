import assert from "node:assert/strict";
import type { Duplex } from "node:stream";
import { PassThrough, Readable, Writable } from "node:stream";
import { NamespaceMode } from "@tripod/api/cri";
import {
  execOverSpdy,
  execOverWebSocket,
  type PortForwardClient,
  portForwardOverSpdy,
  portForwardOverWebSocket,
  type TerminalSize,
} from "@tripod/streaming";
import { eventually } from "../suite/eventually.ts";
import { notImplemented, topic } from "../suite/spec.ts";
import { type ContainerInit, refused, type SandboxInit, type World } from "../suite/world.ts";

/** Collects what is written to it. */
class Collected extends Writable {
  text = "";
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

type ExecInit = Parameters<World["runtime"]["exec"]>[0];
type Transport = typeof execOverSpdy;

interface Run {
  readonly input?: string;
  readonly resize?: AsyncIterable<TerminalSize>;
}

/** Runs a command by way of the URL that Exec answers with. */
async function exec(world: World, transport: Transport, request: ExecInit, run: Run = {}) {
  const { url } = await world.runtime.exec(request);
  const stdout = new Collected();
  const stderr = new Collected();
  const { exitCode } = await transport({
    url,
    signal: AbortSignal.timeout(30_000),
    ...(request.stdin === true && { stdin: run.input === undefined ? new PassThrough() : Readable.from([run.input]) }),
    ...(request.stdout === true && { stdout }),
    ...(request.stderr === true && { stderr }),
    ...(run.resize !== undefined && { resize: run.resize }),
  });
  return { exitCode, stdout: stdout.text, stderr: stderr.text };
}

/** A WebSocket, where the runtime has one: it is younger than SPDY. */
async function needWebSocket<T>(world: World, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (/answered (400|403|404|405|426|501)\b|subprotocol/.test(String(error)))
      notImplemented(`no such WebSocket: ${String(error)}`);
    throw error;
  }
}

async function* sizes(...all: TerminalSize[]): AsyncGenerator<TerminalSize> {
  yield* all;
  await new Promise((resolve) => setTimeout(resolve, 2000).unref()); // the terminal stays while the command runs
}

const both = { stdout: true, stderr: true };

/** A sandbox whose port answers a request for a page. */
async function webServer(world: World, change: ContainerInit & SandboxInit = {}, port = 80): Promise<string> {
  const sandbox = await world.sandbox(change);
  await world.shell(sandbox, `echo a page >/www/index.html; exec httpd -f -p 127.0.0.1:${port} -h /www`, change);
  return sandbox.id;
}

/** Asks for the page over one connection. */
async function getPage(client: PortForwardClient, port: number): Promise<string> {
  const connection: Duplex = await client.connect(port);
  connection.write("GET / HTTP/1.0\r\n\r\n");
  let answer = "";
  for await (const chunk of connection) answer += String(chunk);
  return answer;
}

/** Asks until the server listens. */
const untilPage = (client: PortForwardClient, port: number): Promise<string> =>
  eventually("the page comes", async () => {
    const answer = await getPage(client, port).catch(() => ""); // nobody listens yet
    return answer.endsWith("a page\n") ? answer : undefined;
  });

export const streaming = topic("exec, attach and port-forward", {
  async "exec over SPDY: output, errors and exit code"(world) {
    const containerId = await world.run(await world.pod());
    const cmd = ["sh", "-c", "echo out; echo err >&2; exit 9"];
    const result = await exec(world, execOverSpdy, { containerId, cmd, ...both });
    assert.deepEqual(result, { stdout: "out\n", stderr: "err\n", exitCode: 9 });
  },
  async "exec over WebSocket: output, errors and exit code"(world) {
    const containerId = await world.run(await world.pod());
    const cmd = ["sh", "-c", "echo out; echo err >&2; exit 9"];
    const result = await needWebSocket(world, exec(world, execOverWebSocket, { containerId, cmd, ...both }));
    assert.deepEqual(result, { stdout: "out\n", stderr: "err\n", exitCode: 9 });
  },
  async "exec over SPDY: the end of the input is the end of the command's input"(world) {
    const containerId = await world.run(await world.pod());
    const request = { containerId, cmd: ["wc", "-c"], stdin: true, ...both };
    const { stdout } = await exec(world, execOverSpdy, request, { input: "x".repeat(200_000) });
    assert.equal(stdout.trim(), "200000");
  },
  async "exec over WebSocket: the end of the input is the end of the command's input"(world) {
    const containerId = await world.run(await world.pod());
    const request = { containerId, cmd: ["wc", "-c"], stdin: true, ...both };
    const { stdout } = await needWebSocket(
      world,
      exec(world, execOverWebSocket, request, { input: "x".repeat(200_000) }),
    );
    assert.equal(stdout.trim(), "200000");
  },
  async "exec with a terminal: one stream, and the size that the client tells"(world) {
    const containerId = await world.run(await world.pod());
    const cmd = ["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do stty size; sleep 0.1; done"];
    const request = { containerId, cmd, tty: true, stdin: true, stdout: true };
    const { stdout, exitCode } = await exec(world, execOverSpdy, request, { resize: sizes({ width: 97, height: 31 }) });
    assert.match(stdout, /31 97/);
    assert.equal(exitCode, 0);
  },
  async "exec sends a megabyte through and back unaltered"(world) {
    const containerId = await world.run(await world.pod());
    const input = Array.from({ length: 80_000 }, (_, n) => `line ${n}\n`).join("");
    const { stdout } = await exec(world, execOverSpdy, { containerId, cmd: ["cat"], stdin: true, ...both }, { input });
    assert.ok(stdout === input, `${stdout.length} bytes of ${input.length} came back`);
  },
  async "a URL serves once only"(world) {
    const containerId = await world.run(await world.pod());
    const { url } = await world.runtime.exec({ containerId, cmd: ["true"], ...both });
    const run = () => execOverSpdy({ url, stdout: new Collected(), stderr: new Collected() });
    await run();
    await assert.rejects(run());
  },
  async "exec in an unknown container or one that does not run is refused"(world) {
    const cmd = ["true"];
    await refused(world.runtime.exec({ containerId: world.unique("nothing"), cmd, ...both }), "not-found");
    await refused(world.runtime.exec({ containerId: await world.create(await world.pod()), cmd, ...both }));
  },
  async "exec without any stream, or with a terminal and standard error, is refused"(world) {
    const containerId = await world.run(await world.pod());
    await refused(world.runtime.exec({ containerId, cmd: ["true"] }), "invalid");
    await refused(world.runtime.exec({ containerId, cmd: ["true"], tty: true, ...both }), "invalid");
  },
  async "attach: what is typed reaches the program, and what it says comes back"(world) {
    const containerId = await world.run(await world.pod(), { command: ["sh"], stdin: true });
    const { url } = await world.runtime.attach({ containerId, stdin: true, ...both });
    const [stdin, stdout, stderr] = [new PassThrough(), new Collected(), new Collected()];
    const stop = new AbortController();
    const attached = execOverSpdy({ url, stdin, stdout, stderr, signal: stop.signal }).catch((error: unknown) => error);
    stdin.write("echo typed; echo wrong >&2\n");
    await eventually("the program answers", () => (stdout.text !== "" && stderr.text !== "" ? true : undefined));
    assert.deepEqual([stdout.text, stderr.text], ["typed\n", "wrong\n"]);
    stdin.write("exit 6\n");
    assert.equal((await world.exited(containerId)).exitCode, 6);
    stdin.end();
    stop.abort();
    await attached;
  },
  async "attach: with stdin_once the end of the first input is the end of the program's"(world) {
    const containerId = await world.run(await world.pod(), { command: ["cat"], stdin: true, stdinOnce: true });
    const { url } = await world.runtime.attach({ containerId, stdin: true, ...both });
    const stdout = new Collected();
    const attached = execOverSpdy({
      url,
      stdin: Readable.from(["all of it\n"]),
      stdout,
      stderr: new Collected(),
      signal: AbortSignal.timeout(30_000),
    }).catch((error: unknown) => error);
    assert.equal((await world.exited(containerId)).exitCode, 0);
    await attached;
    assert.equal(stdout.text, "all of it\n");
  },
  async "attach to a container with a terminal: it echoes"(world) {
    const containerId = await world.run(await world.pod(), { command: ["sh"], stdin: true, tty: true });
    const { url } = await world.runtime.attach({ containerId, stdin: true, stdout: true, tty: true });
    const [stdin, stdout] = [new PassThrough(), new Collected()];
    const stop = new AbortController();
    const options = { url, stdin, stdout, resize: sizes({ width: 80, height: 25 }), signal: stop.signal };
    const attached = execOverSpdy(options).catch((error: unknown) => error);
    stdin.write("echo $((40+2))\n");
    await eventually("the program answers", () => (/\n42\r?\n/.test(stdout.text) ? true : undefined));
    assert.match(stdout.text, /echo \$\(\(40\+2\)\)/);
    stop.abort();
    await attached;
  },
  async "attach to an unknown container is NOT_FOUND"(world) {
    await refused(world.runtime.attach({ containerId: world.unique("nothing"), ...both }), "not-found");
  },
  async "port-forward over SPDY reaches a port of the sandbox, many connections at once"(world) {
    const podSandboxId = await webServer(world);
    const { url } = await world.runtime.portForward({ podSandboxId, port: [80] });
    await using client = await portForwardOverSpdy({ url });
    await untilPage(client, 80);
    for (const answer of await Promise.all([1, 2, 3, 4, 5].map(() => getPage(client, 80))))
      assert.match(answer, /a page\n$/);
  },
  async "port-forward over a WebSocket reaches a port of the sandbox"(world) {
    const podSandboxId = await webServer(world);
    const { url } = await world.runtime.portForward({ podSandboxId, port: [80] });
    await using client = await needWebSocket(world, portForwardOverWebSocket({ url }));
    await untilPage(client, 80);
  },
  async "port-forward into a sandbox of the node's network"(world) {
    const linux = { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } };
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const podSandboxId = await webServer(world, { linux }, port);
    const { url } = await world.runtime.portForward({ podSandboxId, port: [port] });
    await using client = await portForwardOverSpdy({ url });
    await untilPage(client, port);
  },
  async "port-forward to a port where nobody listens ends the connection with an error"(world) {
    const { id: podSandboxId } = await world.pod();
    const { url } = await world.runtime.portForward({ podSandboxId, port: [81] });
    await using client = await portForwardOverSpdy({ url });
    await assert.rejects(getPage(client, 81));
  },
  async "port-forward into an unknown or a stopped sandbox is refused"(world) {
    await refused(world.runtime.portForward({ podSandboxId: world.unique("nothing"), port: [80] }), "not-found");
    const { id: podSandboxId } = await world.sandbox();
    await world.runtime.stopPodSandbox({ podSandboxId });
    await refused(world.runtime.portForward({ podSandboxId, port: [80] }));
  },
});
