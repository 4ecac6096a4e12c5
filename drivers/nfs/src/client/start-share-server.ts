import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { TripodError } from "@tripod/base";
import type { ServeShareAnswer, ServeShareRequest } from "./share-server-message.ts";

/** It lives long: V8 is to keep little for what comes and goes. */
const sparing = ["--max-semi-space-size=4", "--optimize-for-size"];

/** Starts a process that is the NFS client of a mount, and waits until that is there. From then on it needs nobody. Its failure is the error. */
export async function startShareServer(request: ServeShareRequest): Promise<void> {
  const program = fileURLToPath(new URL("./share-server.ts", import.meta.url));
  const server = spawn(process.execPath, [...sparing, program], {
    detached: true, // signals to this process's group are not for it
    cwd: "/",
    stdio: ["pipe", "pipe", "ignore"],
  });
  try {
    const failed = once(server, "error").then(([error]) => {
      throw new TripodError("internal", "start an NFS client: it cannot be executed", { cause: error });
    });
    server.stdin.on("error", () => undefined); // told by what it does not answer
    server.stdin.end(JSON.stringify(request));
    const answer = await Promise.race([failed, answerOf(createInterface({ input: server.stdout }))]);
    if (answer === undefined) throw new TripodError("internal", "the NFS client ended without a word");
    if (!answer.ready) throw new TripodError(answer.code, answer.message);
  } catch (error) {
    server.kill("SIGKILL");
    throw error;
  } finally {
    server.stdout.destroy();
    server.unref();
  }
}

async function answerOf(lines: AsyncIterable<string>): Promise<ServeShareAnswer | undefined> {
  for await (const line of lines) return JSON.parse(line) as ServeShareAnswer; // our own process wrote it
  return undefined;
}
