import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { finished, pipeline } from "node:stream/promises";
import { messageOf, randomHex, TripodError } from "@tripod/base";
import { withSpan } from "@tripod/trace";
import type { ExecRequest } from "../low-level-runtime.ts";
import { killDescendants, killProcessTree, parentOf } from "../runc/process-tree.ts";
import type { ProcessSpec, RuntimeSpec } from "../spec/runtime-spec.ts";
import { StdioFifo } from "../stdio-fifo.ts";
import { anyJson } from "./any-json.ts";
import type { TaskService } from "./task-client.ts";

/** A shim that does not answer in this time hangs. */
const callTimeoutMs = 30_000;
/** How long the shim may take to reap what was killed. */
const reapingMs = 500;

/** The container's own process with another command, as config.json has it. */
function processOf(bundle: string, request: ExecRequest): ProcessSpec {
  const spec = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8")) as RuntimeSpec; // written by us
  const { env } = spec.process;
  return {
    ...spec.process,
    args: request.args,
    terminal: request.terminal,
    env: request.terminal && !env.some((each) => each.startsWith("TERM=")) ? [...env, "TERM=xterm"] : env,
  };
}

/** Copies until the source ends; a peer that stops reading loses the rest. */
async function copy(from: Readable, to: Writable | undefined): Promise<void> {
  try {
    if (to === undefined) await finished(from.resume(), { writable: false });
    else await pipeline(from, to, { end: false });
  } catch {
    from.resume(); // the peer went away; its session's signal says so
  }
}

async function feed(from: Readable, to: Writable): Promise<void> {
  try {
    await pipeline(from, to);
  } catch {
    to.destroy(); // the process ended, or the peer went away, before all was sent: the rest has no reader
  }
}

/** Runs a process in a container through its shim and waits for its end, its output read to the last byte. */
export function execThroughShim(
  id: string,
  request: ExecRequest,
  { task, shimPid }: { readonly task: TaskService; readonly shimPid: number },
): Promise<{ readonly exitCode: number }> {
  return withSpan("shim exec", { "container.id": id, command: request.args }, async () => {
    request.signal?.throwIfAborted();
    const execId = randomHex(16);
    const process = { id, execId };
    using fifos = new DisposableStack();
    const fifo = (name: string, way: "read" | "write"): StdioFifo =>
      fifos.use(new StdioFifo(join(request.bundle, `exec-${execId}.${name}`), way));
    const stdin = request.stdin === undefined ? undefined : fifo("stdin", "write");
    const stdout = fifo("stdout", "read");
    const stderr = request.terminal ? undefined : fifo("stderr", "read");
    const refuse = (cause: unknown): TripodError =>
      new TripodError("failed-precondition", `exec in container ${id}: ${messageOf(cause)}`, { cause });
    try {
      await task.exec(
        {
          ...process,
          terminal: request.terminal,
          stdin: stdin?.path ?? "",
          stdout: stdout.path,
          stderr: stderr?.path ?? "",
          spec: anyJson("Process", processOf(request.bundle, request)),
        },
        { timeoutMs: callTimeoutMs },
      );
    } catch (cause) {
      throw refuse(cause);
    }
    try {
      let pid: number;
      try {
        ({ pid } = await task.start(process, { timeoutMs: callTimeoutMs }));
      } catch (cause) {
        throw refuse(cause);
      }
      const streams = { stdin, stdout, stderr };
      return await follow({ process, pid, shimPid, task }, request, streams);
    } finally {
      // It waits for output that something may hold open for ever; the process is as good as forgotten.
      task.delete(process, { timeoutMs: callTimeoutMs }).catch(() => {});
    }
  });
}

interface Running {
  readonly process: { readonly id: string; readonly execId: string };
  readonly pid: number;
  readonly shimPid: number;
  readonly task: TaskService;
}

/** Ends what was started: by the shim's own means, and with all that it started where its processes are this kernel's. */
function kill({ process, pid, shimPid, task }: Running): NodeJS.Timeout | undefined {
  const byShim = (): void => {
    task.kill({ ...process, signal: 9, all: false }, { timeoutMs: callTimeoutMs }).catch(() => {}); // it has ended
  };
  // A number that means something here is a child of the shim; in a sandbox it is some other process's.
  if (parentOf(pid) !== shimPid || !killDescendants(pid)) {
    byShim();
    return undefined;
  }
  return setTimeout(() => {
    if (parentOf(pid) === shimPid) killProcessTree(pid);
  }, reapingMs);
}

async function follow(
  running: Running,
  request: ExecRequest,
  streams: {
    readonly stdin: StdioFifo | undefined;
    readonly stdout: StdioFifo;
    readonly stderr: StdioFifo | undefined;
  },
): Promise<{ readonly exitCode: number }> {
  const { process, task } = running;
  const { stdin, stdout, stderr } = streams;
  for (const each of [stdin, stdout, stderr]) each?.handedOver();
  const aborted = Promise.withResolvers<never>();
  aborted.promise.catch(() => {}); // looked at only while output is awaited
  let lastResort: NodeJS.Timeout | undefined;
  const onAbort = (): void => {
    aborted.reject(request.signal?.reason as Error); // whatever the caller gave; it is passed on as it is
    lastResort = kill(running);
  };
  request.signal?.addEventListener("abort", onAbort, { once: true });
  if (request.signal?.aborted === true) onAbort();
  try {
    if (stdin !== undefined && request.stdin !== undefined) {
      const closeShims = () => task.closeIO({ ...process, stdin: true }, { timeoutMs: callTimeoutMs });
      // A terminal has no half-close: the peer's end of input is not passed on.
      if (request.terminal) request.stdin.pipe(stdin.stream, { end: false });
      else
        feed(request.stdin, stdin.stream)
          .then(closeShims)
          .catch(() => {}); // it has ended meanwhile
    }
    if (request.resize !== undefined && request.terminal) {
      followSizes(request.resize, (size) =>
        task.resizePty({ ...process, ...size }, { timeoutMs: callTimeoutMs }),
      ).catch(
        () => {}, // the sizes end with the session
      );
    }
    const outputs = [copy(stdout.stream, request.stdout)];
    if (stderr !== undefined) outputs.push(copy(stderr.stream, request.stderr));
    const { exitStatus } = await task.wait(process);
    await Promise.race([Promise.all(outputs), aborted.promise]);
    request.signal?.throwIfAborted();
    return { exitCode: exitStatus };
  } finally {
    request.signal?.removeEventListener("abort", onAbort);
    clearTimeout(lastResort);
    request.stdin?.unpipe();
  }
}

async function followSizes<T>(sizes: AsyncIterable<T>, apply: (size: T) => Promise<unknown>): Promise<void> {
  for await (const size of sizes) await apply(size);
}
