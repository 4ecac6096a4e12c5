import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { randomHex, TripodError } from "@tripod/base";
import { openTerminal, setTerminalSize, streamOfFd } from "@tripod/linux";
import { withSpan } from "@tripod/trace";
import type { ExecRequest } from "../low-level-runtime.ts";
import { killDescendants, killProcessTree } from "./process-tree.ts";
import { runcErrorOf } from "./runc-log.ts";

export interface ExecOptions {
  readonly runtime: string;
  readonly rootDir: string;
}

/** Files of one exec, in the bundle. */
interface ExecFiles {
  readonly pid: string;
  readonly log: string;
}

function execArguments(id: string, request: ExecRequest, options: ExecOptions, files: ExecFiles): string[] {
  return [
    `--root=${options.rootDir}`,
    "--log",
    files.log,
    "--log-format",
    "json",
    "exec",
    "--pid-file",
    files.pid,
    ...(request.terminal ? ["--tty", "--env", "TERM=xterm"] : ["--tty=false"]),
    id,
    ...request.args,
  ];
}

const exitCodeOf = async (child: ChildProcess): Promise<number> => {
  if (child.exitCode !== null) return child.exitCode;
  const [code]: unknown[] = await once(child, "exit");
  return typeof code === "number" ? code : 137; // no code: the runtime itself was killed, by us
};

/** Copies until the source ends; a peer that stops reading loses the rest, the process keeps its pipe. */
async function copy(from: Readable, to: Writable | undefined): Promise<void> {
  if (to === undefined) {
    from.resume();
    await once(from, "close");
    return;
  }
  try {
    await pipeline(from, to, { end: false });
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

/** Runs a process in a container and waits for its end, its output read to the last byte. */
export function execInContainer(
  id: string,
  request: ExecRequest,
  options: ExecOptions,
): Promise<{ readonly exitCode: number }> {
  return withSpan("runc exec", { "container.id": id, command: request.args }, async () => {
    const stem = join(request.bundle, `exec-${randomHex(8)}`);
    const files = { pid: `${stem}.pid`, log: `${stem}.log` };
    try {
      return await run(id, request, options, files);
    } finally {
      rmSync(files.pid, { force: true });
      rmSync(files.log, { force: true });
    }
  });
}

/** How long the runtime may take to reap what was killed. */
const reapingMs = 500;

async function run(
  id: string,
  request: ExecRequest,
  options: ExecOptions,
  files: ExecFiles,
): Promise<{ exitCode: number }> {
  request.signal?.throwIfAborted();
  const pair = request.terminal ? openTerminal() : undefined;
  const child = spawn(options.runtime, execArguments(id, request, options, files), {
    cwd: request.bundle,
    detached: true,
    stdio: pair === undefined ? ["pipe", "pipe", "pipe"] : [pair.slave, pair.slave, pair.slave],
  });
  if (pair !== undefined) closeSync(pair.slave);
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
    // The process in the container is the runtime's child, whether or not its number has been written down yet.
    if (!killDescendants(pid)) killProcessTree(pid);
    // What it was just starting, or a runtime that hangs, is not waited for.
    else lastResort = setTimeout(() => runs() && killProcessTree(pid), reapingMs);
  };
  request.signal?.addEventListener("abort", onAbort, { once: true });
  const master = pair === undefined ? undefined : streamOfFd(pair.master);
  try {
    const outputs: Promise<void>[] = [];
    if (master !== undefined && pair !== undefined) {
      outputs.push(copy(master, request.stdout));
      // A terminal has no half-close: the peer's end of input is not passed on.
      if (request.stdin !== undefined) request.stdin.pipe(master, { end: false });
      if (request.resize !== undefined) {
        const apply = (size: { width: number; height: number }): void => {
          if (master.destroyed) return;
          setTerminalSize(pair.master, size);
          child.kill("SIGWINCH"); // runc copies the size of its own terminal to the process's
        };
        followSizes(request.resize, apply).catch(() => {}); // the sizes end with the session
      }
    } else {
      const { stdin, stdout, stderr } = child;
      if (stdin === null || stdout === null || stderr === null) throw new TripodError("internal", "exec: no pipes");
      feed(request.stdin, stdin);
      outputs.push(copy(stdout, request.stdout), copy(stderr, request.stderr));
    }
    const exitCode = await Promise.race([exitCodeOf(child), failedToStart]);
    if (!existsSync(files.pid) && request.signal?.aborted !== true) {
      throw new TripodError(
        "failed-precondition",
        `exec in container ${id}: ${runcErrorOf(files.log) ?? `exit code ${exitCode}`}`,
      );
    }
    // Something that the process left running may hold its output open for ever.
    await Promise.race([Promise.all(outputs), aborted.promise]);
    request.signal?.throwIfAborted();
    return { exitCode };
  } finally {
    request.signal?.removeEventListener("abort", onAbort);
    clearTimeout(lastResort);
    request.stdin?.unpipe();
    for (const stream of [master, child.stdout, child.stderr]) stream?.destroy();
  }
}
