import { spawn } from "node:child_process";
import { TripodError } from "./error.ts";
import { isNodeError } from "./is-node-error.ts";

export interface RunCommandOptions {
  /** Written to standard input, which is then closed; without it stdin is /dev/null. */
  readonly input?: string | Uint8Array;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly signal?: AbortSignal;
  /** After this long the whole process group is killed and the error has code "timeout"; 120,000 unless told. */
  readonly timeoutMs?: number;
  /** The most kept of each output stream, 16 MiB unless told; more kills the command with code "exhausted". */
  readonly maxOutputBytes?: number;
  /** Exit codes that are no failure; [0] unless told. "any" never fails on one. */
  readonly okExitCodes?: readonly number[] | "any";
}

export interface CommandResult {
  /** 128 + signal number when a signal ended it. */
  readonly exitCode: number;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

const signalNumber = (name: NodeJS.Signals): number =>
  name === "SIGKILL" ? 9 : name === "SIGTERM" ? 15 : name === "SIGINT" ? 2 : 1;

/** Runs a program to its end in a process group of its own and collects what it prints. */
export function runCommand(
  file: string,
  args: readonly string[],
  options: RunCommandOptions = {},
): Promise<CommandResult> {
  const { timeoutMs = 120_000, maxOutputBytes = 16 * 1024 * 1024, okExitCodes = [0] } = options;
  const what = [file, ...args.slice(0, 2)].join(" ");
  return new Promise((resolve, reject) => {
    if (options.signal?.aborted) {
      reject(new TripodError("cancelled", `${what}: cancelled before it started`));
      return;
    }
    const child = spawn(file, args, {
      cwd: options.cwd,
      env: options.env,
      detached: true,
      stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    });
    let failure: TripodError | undefined;
    const killGroup = (error: TripodError): void => {
      failure ??= error;
      try {
        if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      } catch {
        child.kill("SIGKILL"); // the group is gone already; the child itself may not be reaped yet
      }
    };
    const timer = setTimeout(
      () => killGroup(new TripodError("timeout", `${what}: killed after ${timeoutMs} ms`)),
      timeoutMs,
    );
    const onAbort = (): void => killGroup(new TripodError("cancelled", `${what}: cancelled`));
    options.signal?.addEventListener("abort", onAbort, { once: true });
    const collect = (stream: NodeJS.ReadableStream | null): Buffer[] => {
      const chunks: Buffer[] = [];
      let size = 0;
      stream?.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size <= maxOutputBytes) chunks.push(chunk);
        else killGroup(new TripodError("exhausted", `${what}: printed more than ${maxOutputBytes} bytes`));
      });
      return chunks;
    };
    const stdout = collect(child.stdout);
    const stderr = collect(child.stderr);
    const settle = (): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", onAbort);
    };
    child.on("error", (cause) => {
      settle();
      const missing = isNodeError(cause, "ENOENT");
      reject(
        new TripodError(
          missing ? "not-found" : "internal",
          `${what}: ${missing ? `${file} is not installed` : cause.message}`,
          { cause },
        ),
      );
    });
    child.on("close", (code, signal) => {
      settle();
      const result: CommandResult = {
        exitCode: code ?? 128 + signalNumber(signal ?? "SIGTERM"),
        stdout: Buffer.concat(stdout),
        stderr: Buffer.concat(stderr),
      };
      if (failure !== undefined) reject(failure);
      else if (okExitCodes === "any" || okExitCodes.includes(result.exitCode)) resolve(result);
      else {
        const said = (result.stderr.length > 0 ? result.stderr : result.stdout).toString().trim().slice(-2000);
        reject(
          new TripodError("internal", `${what}: exit code ${result.exitCode}: ${said}`, {
            detail: { exitCode: result.exitCode },
          }),
        );
      }
    });
    if (child.stdin !== null) {
      child.stdin.on("error", () => child.stdin?.destroy()); // EPIPE: the program did not want all of its input
      child.stdin.end(options.input);
    }
  });
}
