import { type ChildProcess, spawn } from "node:child_process";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";
import { TripodError } from "@tripod/base";
import type { Job, JobMessage, JobResults, Progress } from "./job.ts";

export interface JobOptions {
  /** After so long its process is killed, and the error is "unavailable"; never unless told. */
  readonly withinMs?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

/** A process that does one job after another. */
interface Worker {
  readonly child: ChildProcess;
  readonly lines: Interface;
  /** How. */
  readonly ended: Promise<string>;
  idle: NodeJS.Timeout | undefined;
}

/** How long a process without a job is kept for the next one. */
const idleMs = 10_000;

/**
 * Does jobs in processes that die with this one, each of which has one at a time: a server that does not answer keeps nobody else from going on,
 * and a process that waits for it can be killed, as a thread cannot.
 */
export class Jobs implements Disposable {
  readonly #idle: Worker[] = [];
  readonly #all = new Set<Worker>();

  async run<J extends Job>(job: J, options: JobOptions = {}): Promise<JobResults[J["kind"]]> {
    const { withinMs, signal, onProgress } = options;
    signal?.throwIfAborted();
    const worker = this.#idle.pop() ?? this.#start();
    clearTimeout(worker.idle);
    worker.child.ref();
    const { promise, resolve } = Promise.withResolvers<JobMessage | "ended" | "late" | "cancelled">();
    const timer = withinMs === undefined ? undefined : setTimeout(() => resolve("late"), withinMs);
    const cancel = (): void => resolve("cancelled");
    const hear = (line: string): void => {
      const message = JSON.parse(line) as JobMessage; // our own process wrote it
      if (message.kind === "progress") onProgress?.(message.progress);
      else resolve(message);
    };
    signal?.addEventListener("abort", cancel, { once: true });
    worker.lines.on("line", hear);
    void worker.ended.then(() => resolve("ended"));
    worker.child.stdin?.write(`${JSON.stringify(job)}\n`);
    const outcome = await promise;
    clearTimeout(timer);
    signal?.removeEventListener("abort", cancel);
    worker.lines.off("line", hear);
    if (typeof outcome === "string") {
      this.#end(worker);
      // What a process does that was cancelled is over; one that waits in the kernel may not even die.
      if (outcome === "cancelled") await worker.ended;
      if (outcome === "cancelled") throw new TripodError("cancelled", `${job.kind}: cancelled`);
      throw outcome === "late"
        ? new TripodError(
            "unavailable",
            `${job.kind}: the server has not answered for ${(withinMs ?? 0) / 1000} s; is it running, and reachable from here?`,
          )
        : new TripodError("internal", `${job.kind}: its process ended without a word, by ${await worker.ended}`);
    }
    worker.idle = setTimeout(() => this.#end(worker), idleMs).unref();
    worker.child.unref();
    this.#idle.push(worker);
    if (outcome.kind === "done") return outcome.result as JobResults[J["kind"]]; // that job's own
    if (outcome.kind === "failed")
      throw new TripodError(outcome.code, outcome.message, { detail: { errno: outcome.errno } });
    throw new TripodError("internal", `${job.kind}: no end`);
  }

  [Symbol.dispose](): void {
    for (const worker of this.#all) this.#end(worker);
  }

  #start(): Worker {
    const program = fileURLToPath(new URL("./share-job.ts", import.meta.url));
    const child = spawn(process.execPath, ["--max-semi-space-size=2", program, String(process.pid)], {
      cwd: "/",
      stdio: ["pipe", "pipe", "inherit"],
    });
    child.stdin.on("error", () => undefined); // told by its end
    const ended = new Promise<string>((resolve) => {
      child.once("exit", (code, signal) => resolve(signal ?? `exit code ${code}`));
      child.once("error", ({ message }) => resolve(message));
    });
    const worker = { child, lines: createInterface({ input: child.stdout }), ended, idle: undefined };
    this.#all.add(worker);
    void ended.then(() => this.#forget(worker));
    return worker;
  }

  #end(worker: Worker): void {
    this.#forget(worker);
    worker.child.kill("SIGKILL");
    worker.child.stdin?.destroy();
    worker.child.stdout?.destroy();
    worker.child.unref();
  }

  #forget(worker: Worker): void {
    clearTimeout(worker.idle);
    this.#all.delete(worker);
    const index = this.#idle.indexOf(worker);
    if (index >= 0) this.#idle.splice(index, 1);
  }
}
