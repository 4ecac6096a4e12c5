import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { finished, pipeline } from "node:stream/promises";
import { randomHex, runCommand, TripodError } from "@tripod/base";
import { openTerminal, setTerminalSize, streamOfFd } from "@tripod/linux";
import { withSpan } from "@tripod/trace";
import type { ExecRequest } from "../low-level-runtime.ts";
import type { RuntimeSpec } from "../spec/runtime-spec.ts";
import { StdioFifo } from "../stdio-fifo.ts";
import { killDescendants, killProcessTree } from "./process-tree.ts";
import { runcErrorOf } from "./runc-log.ts";
import { type Dialect, globalArguments, type RuntimeProgram } from "./runtime-program.ts";

export interface ExecOptions extends RuntimeProgram {
  readonly dialect: Dialect;
}

/** Files of one exec, in the bundle. */
interface ExecFiles {
  readonly pid: string;
  /** The process's number inside, where the kernel is the container's own. */
  readonly innerPid: string;
  readonly log: string;
  readonly process: string;
}

function execArguments(id: string, request: ExecRequest, options: ExecOptions, files: ExecFiles): string[] {
  return [
    ...globalArguments(options),
    "--log",
    files.log,
    "--log-format",
    "json",
    "exec",
    "--pid-file",
    files.pid,
    ...(options.dialect.execInherits
      ? commandArguments(id, request, options, files)
      : ["--process", files.process, id]),
  ];
}

function commandArguments(id: string, request: ExecRequest, options: ExecOptions, files: ExecFiles): string[] {
  return [
    // gVisor's takes its own standard input for a terminal when it is one.
    ...(options.dialect.hasKernelOfItsOwn
      ? ["--internal-pid-file", files.innerPid]
      : [request.terminal ? "--tty" : "--tty=false"]),
    ...(request.terminal ? ["--env", "TERM=xterm"] : []),
    id,
    ...request.args,
  ];
}

/** Writes down the whole process: the container's own, with another command. */
function writeProcess(request: ExecRequest, file: string): void {
  const { process } = JSON.parse(readFileSync(join(request.bundle, "config.json"), "utf8")) as RuntimeSpec; // ours
  const env = [...(request.terminal ? ["TERM=xterm"] : []), ...process.env];
  writeFileSync(file, JSON.stringify({ ...process, env, args: request.args, terminal: request.terminal }), {
    mode: 0o600,
  });
}

const exitCodeOf = async (child: ChildProcess): Promise<number> => {
  if (child.exitCode !== null) return child.exitCode;
  const [code]: unknown[] = await once(child, "exit");
  return typeof code === "number" ? code : 137; // no code: the runtime itself was killed, by us
};

/** Copies until the source ends; a peer that stops reading loses the rest, the process keeps its pipe. */
async function copy(from: Readable, to: Writable | undefined): Promise<void> {
  try {
    if (to === undefined) await finished(from.resume(), { writable: false });
    else await pipeline(from, to, { end: false });
  } catch {
    from.resume(); // either the peer went away (its session's signal says so), or the terminal hung up with EIO, which is its end
  }
}

function feed(from: Readable | undefined, to: Writable): void {
  if (from === undefined) {
    to.end();
    return;
  }
  // The process may end, or close its stdin, before the peer has sent all: the rest has no reader.
  pipeline(from, to).catch(() => to.destroy());
}

async function followSizes(
  sizes: AsyncIterable<{ width: number; height: number }>,
  apply: (size: { width: number; height: number }) => void,
) {
  for await (const size of sizes) apply(size);
}

/** Kills a process whose kernel is the container's own. One that has not been numbered yet ends with its runtime command. */
function killInside(id: string, pidFile: string, options: ExecOptions): void {
  if (!existsSync(pidFile)) return;
  const inner = readFileSync(pidFile, "utf8").trim();
  // It may have ended meanwhile, or hang; whoever waits goes on all the same.
  runCommand(options.runtime, [...globalArguments(options), "kill", "--pid", inner, id, "SIGKILL"], {
    timeoutMs: 10_000,
  }).catch(() => {});
}

/** Runs a process in a container and waits for its end, its output read to the last byte. */
export function execInContainer(
  id: string,
  request: ExecRequest,
  options: ExecOptions,
): Promise<{ readonly exitCode: number }> {
  return withSpan("runc exec", { "container.id": id, command: request.args }, async () => {
    const stem = join(request.bundle, `exec-${randomHex(8)}`);
    const files = { pid: `${stem}.pid`, innerPid: `${stem}.inner-pid`, log: `${stem}.log`, process: `${stem}.json` };
    try {
      return await run(id, request, options, files);
    } finally {
      for (const file of Object.values(files)) rmSync(file, { force: true });
    }
  });
}

/** The exit code of a runtime command that failed itself; a program's own 255 comes without an error in the runtime's log. */
const runtimeFailed = 255;

/** How long the runtime may take to reap what was killed. */
const reapingMs = 500;

/** The pipes of one exec: our ends, and what the runtime command inherits. */
interface ExecPipes extends Disposable {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
}

/** Starts the runtime command with pipes as its standard streams. */
function spawnWithPipes(
  args: readonly string[],
  request: ExecRequest,
  options: ExecOptions,
  stem: string,
): { readonly child: ChildProcess; readonly pipes: ExecPipes } {
  const at = { cwd: request.bundle, detached: true };
  if (!options.dialect.hasKernelOfItsOwn) {
    const child = spawn(options.runtime, args, { ...at, stdio: "pipe" });
    const { stdin, stdout, stderr } = child;
    const destroy = (): void => {
      for (const stream of [stdout, stderr]) stream.destroy();
    };
    return { child, pipes: { stdin, stdout, stderr, [Symbol.dispose]: destroy } };
  }
  // Node's pipes are sockets, which gVisor's kernel shuts down for everybody when it lets go of its own copy.
  using owned = new DisposableStack();
  const fifos = (["write", "read", "read"] as const).map((way, fd) => owned.use(new StdioFifo(`${stem}.${fd}`, way)));
  const others = fifos.map((fifo) => fifo.openOther());
  const child = spawn(options.runtime, args, { ...at, stdio: others });
  for (const other of others) closeSync(other);
  for (const fifo of fifos) fifo.handedOver();
  const [stdin, stdout, stderr] = fifos.map(({ stream }) => stream);
  if (stdin === undefined || stdout === undefined || stderr === undefined)
    throw new TripodError("internal", "no pipes");
  const held = owned.move();
  return { child, pipes: { stdin, stdout, stderr, [Symbol.dispose]: () => held.dispose() } };
}

/** Starts it with a terminal. */
function spawnWithTerminal(
  args: readonly string[],
  request: ExecRequest,
  options: ExecOptions,
): { readonly child: ChildProcess; readonly master: number } {
  const { master, slave } = openTerminal();
  try {
    const stdio = [slave, slave, slave];
    const child = spawn(options.runtime, args, { cwd: request.bundle, detached: true, stdio });
    return { child, master };
  } finally {
    closeSync(slave);
  }
}

async function run(
  id: string,
  request: ExecRequest,
  options: ExecOptions,
  files: ExecFiles,
): Promise<{ exitCode: number }> {
  request.signal?.throwIfAborted();
  if (!options.dialect.execInherits) writeProcess(request, files.process);
  const args = execArguments(id, request, options, files);
  const started = request.terminal
    ? spawnWithTerminal(args, request, options)
    : spawnWithPipes(args, request, options, files.pid);
  const { child } = started;
  const failedToStart = new Promise<never>((_, reject) => {
    child.once("error", (cause) =>
      reject(new TripodError("not-found", `exec in container ${id}: ${cause.message}`, { cause })),
    );
  });
  const aborted = Promise.withResolvers<never>();
  aborted.promise.catch(() => {}); // looked at only while output is awaited
  let lastResort: NodeJS.Timeout | undefined;
  const onAbort = (): void => {
    aborted.reject(request.signal?.reason as Error); // whatever the caller gave; it is passed on as it is
    const { pid } = child;
    const runs = (): boolean => child.exitCode === null && child.signalCode === null;
    if (pid === undefined || !runs()) return;
    if (options.dialect.hasKernelOfItsOwn) {
      killInside(id, files.innerPid, options);
      lastResort = setTimeout(() => runs() && killProcessTree(pid), reapingMs);
      return;
    }
    // The process in the container is the runtime's child, whether or not its number has been written down yet.
    if (!killDescendants(pid)) killProcessTree(pid);
    // What it was just starting, or a runtime that hangs, is not waited for.
    else lastResort = setTimeout(() => runs() && killProcessTree(pid), reapingMs);
  };
  request.signal?.addEventListener("abort", onAbort, { once: true });
  const master = "master" in started ? streamOfFd(started.master) : undefined;
  try {
    const outputs: Promise<void>[] = [];
    if (master !== undefined && "master" in started) {
      outputs.push(copy(master, request.stdout));
      // A terminal has no half-close: the peer's end of input is not passed on.
      if (request.stdin !== undefined) request.stdin.pipe(master, { end: false });
      if (request.resize !== undefined) {
        const apply = (size: { width: number; height: number }): void => {
          if (master.destroyed) return;
          setTerminalSize(started.master, size);
          child.kill("SIGWINCH"); // runc copies the size of its own terminal to the process's
        };
        followSizes(request.resize, apply).catch(() => {}); // the sizes end with the session
      }
    } else if ("pipes" in started) {
      const { stdin, stdout, stderr } = started.pipes;
      feed(request.stdin, stdin);
      outputs.push(copy(stdout, request.stdout), copy(stderr, request.stderr));
    }
    const exitCode = await Promise.race([exitCodeOf(child), failedToStart]);
    const isNumbered = existsSync(files.pid);
    // youki numbers it before it looks for the program.
    const why = isNumbered && exitCode !== runtimeFailed ? undefined : runcErrorOf(files.log);
    if ((!isNumbered || why !== undefined) && request.signal?.aborted !== true)
      throw new TripodError("failed-precondition", `exec in container ${id}: ${why ?? `exit code ${exitCode}`}`);
    // Something that the process left running may hold its output open for ever.
    await Promise.race([Promise.all(outputs), aborted.promise]);
    request.signal?.throwIfAborted();
    return { exitCode };
  } finally {
    request.signal?.removeEventListener("abort", onAbort);
    clearTimeout(lastResort);
    request.stdin?.unpipe();
    master?.destroy();
    if ("pipes" in started) started.pipes[Symbol.dispose]();
  }
}
