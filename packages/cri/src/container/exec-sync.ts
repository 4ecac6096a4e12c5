import { Writable } from "node:stream";
import { TripodError } from "@tripod/base";
import { bundleOf, type CriContext } from "../context.ts";
import { runtimeOf } from "../runtime/handler.ts";

/** What is kept of the output; the rest is read and dropped. A kubelet takes no reply of more than 16 MiB, with all that is around it. */
const maxExecOutputBytes = 16 * 1024 * 1024 - 64;

/** Keeps the first bytes that are written to it. */
class Head extends Writable {
  readonly #chunks: Buffer[] = [];
  #size = 0;

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    const kept = chunk.subarray(0, maxExecOutputBytes - this.#size);
    if (kept.length > 0) this.#chunks.push(kept);
    this.#size += kept.length;
    done();
  }

  bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}

/** The beginnings of both streams that fit into one reply; neither is cut by more than the other's share asks for. */
function fitReply(stdout: Buffer, stderr: Buffer): { readonly stdout: Buffer; readonly stderr: Buffer } {
  const half = maxExecOutputBytes / 2;
  const kept = stderr.subarray(0, Math.max(half, maxExecOutputBytes - stdout.length));
  return { stdout: stdout.subarray(0, maxExecOutputBytes - kept.length), stderr: kept };
}

export interface ExecOutcome {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly exitCode: number;
}

/** Runs a command in a running container and collects what it prints; after `timeoutMs` (0 is never) it is killed: code "timeout". */
export async function execSync(
  context: CriContext,
  idOrPrefix: string,
  command: { readonly args: readonly string[]; readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<ExecOutcome> {
  const container = context.containers.get(idOrPrefix);
  requireRunning(container.phase, container.id, "exec in");
  if (command.args.length === 0)
    throw new TripodError("invalid", `exec in container ${container.id}: there is no command`);
  const timeout = new AbortController();
  const late = new TripodError("timeout", `exec in container ${container.id}: killed after ${command.timeoutMs} ms`);
  const timer = command.timeoutMs > 0 ? setTimeout(() => timeout.abort(late), command.timeoutMs) : undefined;
  const stdout = new Head();
  const stderr = new Head();
  try {
    const { exitCode } = await runtimeOf(context, container.handler).exec(container.id, {
      args: command.args,
      terminal: false,
      bundle: bundleOf(context, container.id),
      stdout,
      stderr,
      signal: AbortSignal.any([timeout.signal, command.signal]),
    });
    return { ...fitReply(stdout.bytes(), stderr.bytes()), exitCode };
  } finally {
    clearTimeout(timer);
  }
}

/** Only a running container can be worked in. */
export function requireRunning(phase: string, id: string, what: string): void {
  if (phase !== "running")
    throw new TripodError("failed-precondition", `${what} container ${id}: it is not running (${phase})`);
}
