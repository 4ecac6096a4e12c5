import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { runCommand, TripodError } from "@tripod/base";
import { launcherPath } from "../installation.ts";

export interface DemoNode extends AsyncDisposable {
  /** What `tripod up` printed when it was ready. */
  readonly readyLine: string;
}

async function readReadyLine(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new TripodError("internal", "start the node: its output is not connected");
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith("tripod: ")) return line;
  }
  throw new TripodError("unavailable", "start the node: tripod up ended before it was ready; its reason stands above");
}

/** Runs `tripod up --root`, and `tripod down --root` when disposed, as a user would in a shell. */
export async function startDemoNode(root: string): Promise<DemoNode> {
  const child = spawn(launcherPath, ["up", "--root", root], { stdio: ["ignore", "pipe", "inherit"] });
  const readyLine = await readReadyLine(child);
  return {
    readyLine,
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null) {
        const ended = once(child, "exit");
        child.kill("SIGTERM");
        await ended;
      }
      await runCommand(launcherPath, ["down", "--root", root]);
    },
  };
}
