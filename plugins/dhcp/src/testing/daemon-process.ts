import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { TripodError } from "@tripod/base";

/** The daemon as a process of its own. */
export class DaemonProcess implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly #exit: Promise<unknown[]>;

  private constructor(child: ChildProcess) {
    this.child = child;
    this.#exit = once(child, "exit");
  }

  /** With these flags and environment; resolves when it listens. */
  static async start(flags: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<DaemonProcess> {
    const main = join(import.meta.dirname, "daemon-main.ts");
    const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", main, ...flags], {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, ...env, NODE_TEST_CONTEXT: undefined },
    });
    const daemon = new DaemonProcess(child);
    const lines = createInterface({ input: child.stderr });
    const said: string[] = [];
    lines.on("line", (line) => said.push(line));
    const listens = new Promise<true>((resolve) => {
      lines.on("line", (line) => {
        if (line.includes("DHCP daemon listens")) resolve(true);
      });
    });
    if ((await Promise.race([listens, daemon.#exit])) !== true)
      throw new TripodError("internal", `the DHCP daemon ended: ${said.join("\n")}`);
    return daemon;
  }

  /** Its end: code and signal. */
  ended(): Promise<unknown[]> {
    return this.#exit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    await this.#exit;
  }
}
