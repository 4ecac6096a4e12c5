import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import type { TemporaryFolder } from "@tripod/linux/testing";

export interface DriverProcess extends AsyncDisposable {
  readonly child: ChildProcess;
  readonly ended: Promise<number | NodeJS.Signals>;
}

/** `tripod csi serve` as a process of its own with its socket and state in `folder`, ready when this resolves. */
export async function startDriver(
  folder: TemporaryFolder,
  options: { driver?: string; failpoint?: string; args?: string[] } = {},
): Promise<DriverProcess> {
  const endpoint = `unix://${folder.join("csi.sock")}`;
  const required = ["--endpoint", endpoint, "--node-id", "n", "--state", folder.join("state")];
  const main = join(import.meta.dirname, "../main.ts");
  const args = [main, "csi", "serve", options.driver ?? "hostpath", ...required, ...(options.args ?? [])];
  const { TRIPOD_FAILPOINT: _none, ...env } = process.env;
  const child = spawn(process.execPath, args, {
    stdio: ["pipe", "ignore", "pipe"],
    env: options.failpoint === undefined ? env : { ...env, TRIPOD_FAILPOINT: options.failpoint },
  });
  const ended = new Promise<number | NodeJS.Signals>((resolve) =>
    child.once("exit", (code, signal) => resolve(signal ?? code ?? -1)),
  );
  await new Promise<void>((resolve, reject) => {
    let text = "";
    child.stderr.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes("CSI driver is ready")) resolve();
    });
    void ended.then(() => reject(new Error(`driver ended: ${text}`)));
  });
  return {
    child,
    ended,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}
