import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { TripodError } from "@tripod/base";
import type { ServeAnswer, ServeRequest } from "./server-message.ts";

/** It lives long and has little to do: V8 is to keep little for what comes and goes. */
const sparing = ["--max-semi-space-size=2", "--optimize-for-size", "--expose-gc"];

/** The C library would else keep blocks of the size of chunks, for every thread (mallopt(3)). */
const sparingMalloc = { MALLOC_ARENA_MAX: "2", MALLOC_MMAP_THRESHOLD_: "131072", MALLOC_TRIM_THRESHOLD_: "262144" };

/**
 * Starts a process that serves an image's layers, and waits until they are mounted: until their tables of contents are fetched and verified.
 * From then on it needs nobody: it goes on when this process dies, and ends when nobody has a use for it. Its failure is the error.
 */
export async function startLayerServer(request: ServeRequest, signal: AbortSignal): Promise<{ readonly pid: number }> {
  signal.throwIfAborted();
  const program = fileURLToPath(new URL("./layer-server.ts", import.meta.url));
  const server = spawn(process.execPath, [...sparing, program], {
    detached: true, // signals to this process's group are not for it
    cwd: "/",
    env: { ...process.env, ...sparingMalloc },
    stdio: ["pipe", "pipe", "ignore"],
  });
  const exited = new Promise<void>((resolve) => server.once("close", () => resolve()));
  const end = (): void => void server.kill("SIGKILL");
  signal.addEventListener("abort", end, { once: true });
  try {
    const failed = once(server, "error").then(([error]) => {
      throw new TripodError("internal", "start a layer server: it cannot be executed", { cause: error });
    });
    server.stdin.on("error", () => undefined); // told by what it does not answer
    server.stdin.end(JSON.stringify(request));
    const answer = await Promise.race([failed, answerOf(createInterface({ input: server.stdout }))]);
    signal.throwIfAborted();
    if (answer === undefined) throw new TripodError("internal", "the layer server ended without a word");
    if (!answer.ready) throw new TripodError(answer.code, answer.message);
    return { pid: answer.pid };
  } catch (error) {
    end();
    if (server.pid !== undefined) await exited; // so that the caller can sweep what it has mounted
    throw error;
  } finally {
    signal.removeEventListener("abort", end);
    server.stdout.destroy();
    server.unref();
  }
}

async function answerOf(lines: AsyncIterable<string>): Promise<ServeAnswer | undefined> {
  for await (const line of lines) return JSON.parse(line) as ServeAnswer; // our own process wrote it
  return undefined;
}
