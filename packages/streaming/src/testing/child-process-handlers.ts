import { spawn } from "node:child_process";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { TripodError } from "@tripod/base";
import type { RemoteStreams, StreamingHandlers } from "../types.ts";

/** Real processes of this machine in the place of containers: what the tests' servers run. */
export const childProcessHandlers: StreamingHandlers = {
  async exec(request, streams) {
    return { exitCode: await run(request.cmd, streams) };
  },
  async attach(request, streams) {
    await run(["sh", "-c", `echo attached to ${request.containerId}; exec cat`], streams);
  },
  portForward: (_sandboxId, port, connection, { signal }) => joinLoopback(port, connection, signal),
};

async function run(cmd: readonly string[], streams: RemoteStreams): Promise<number> {
  const [file, ...args] = cmd;
  if (file === undefined) throw new TripodError("invalid", "exec: no command");
  const child = spawn(file, args, { stdio: "pipe", signal: streams.signal, killSignal: "SIGKILL" });
  const ended = new Promise<number>((resolve, reject) => {
    child.once("error", (cause) => reject(new TripodError("not-found", `exec ${file}: ${cause.message}`, { cause })));
    child.once("close", (code) => resolve(code ?? 137));
  });
  ended.catch(() => {}); // it may fail while the output is still being copied; it is awaited below
  child.stdin.on("error", () => {}); // the command may not want its input
  if (streams.stdin === undefined) child.stdin.end();
  else streams.stdin.pipe(child.stdin);
  if (streams.stdout === undefined) child.stdout.resume();
  if (streams.stderr === undefined) child.stderr.resume();
  await Promise.allSettled([
    ...(streams.stdout === undefined ? [] : [pipeline(child.stdout, streams.stdout)]),
    ...(streams.stderr === undefined ? [] : [pipeline(child.stderr, streams.stderr)]),
  ]);
  return ended;
}

async function joinLoopback(port: number, connection: Duplex, signal: AbortSignal): Promise<void> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true, signal });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", (cause) => reject(new TripodError("unavailable", `connect: ${cause.message}`, { cause })));
  });
  await Promise.all([pipeline(connection, socket), pipeline(socket, connection)]);
}
