import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { RuntimeService } from "@tripod/api/cri";
import { messageOf, TripodError } from "@tripod/base";
import { GrpcChannel } from "@tripod/grpc";

export interface CriProcessOptions {
  /** The program and its arguments. */
  readonly command: readonly [string, ...string[]];
  /** Where it will serve CRI. */
  readonly socket: string;
  /** Where what it prints goes. */
  readonly logFile: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** A CRI runtime in a process of its own. Disposing of it removes its Pods first, so that neither supervisors nor networks stay. */
export interface CriProcess extends AsyncDisposable {
  readonly socket: string;
  readonly pid: number;
}

const startTimeoutMs = 30_000;

/** Starts a runtime; resolves when it answers. A runtime that ends before that is an error with the end of its log. */
export async function startCriProcess(options: CriProcessOptions): Promise<CriProcess> {
  const { socket, logFile } = options;
  const [program, ...args] = options.command;
  const log = openSync(logFile, "a");
  const child = spawn(program, args, { stdio: ["ignore", log, log], env: options.env ?? process.env });
  closeSync(log);
  const ended = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) => resolve(`it ended with ${signal ?? code}`));
  });
  try {
    await untilServing(child, socket, ended);
  } catch (cause) {
    await stop(child, ended);
    const end = readFileSync(logFile, "utf8").slice(-2000);
    throw new TripodError("unavailable", `start ${program}: ${messageOf(cause)}; its log: ${end}`, { cause });
  }
  return {
    socket,
    pid: child.pid ?? 0,
    async [Symbol.asyncDispose]() {
      try {
        if (isRunning(child)) await removePods(socket);
      } finally {
        await stop(child, ended);
      }
    },
  };
}

const isRunning = (child: ChildProcess): boolean =>
  child.pid !== undefined && child.exitCode === null && child.signalCode === null;

async function untilServing(child: ChildProcess, socket: string, ended: Promise<string>): Promise<void> {
  using channel = new GrpcChannel({ socket, traced: () => false });
  const early = ended.then((why) => Promise.reject(new TripodError("unavailable", why)));
  early.catch(() => {}); // told by the race while we wait; later its end is expected
  const deadline = performance.now() + startTimeoutMs;
  for (;;) {
    try {
      await Promise.race([channel.client(RuntimeService).version({}, { timeoutMs: 1000 }), early]);
      return;
    } catch (error) {
      if (!isRunning(child) || performance.now() > deadline) throw error;
      await delay(50); // a foreign daemon tells nobody when it serves
    }
  }
}

async function removePods(socket: string): Promise<void> {
  using channel = new GrpcChannel({ socket, traced: () => false });
  const runtime = channel.client(RuntimeService);
  for (const { id } of (await runtime.listPodSandbox({})).items) {
    await runtime.stopPodSandbox({ podSandboxId: id });
    await runtime.removePodSandbox({ podSandboxId: id });
  }
}

async function stop(child: ChildProcess, ended: Promise<string>): Promise<void> {
  if (!isRunning(child)) return;
  child.kill("SIGTERM");
  await ended;
}
