import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { TripodError } from "@tripod/base";
import { inNetns } from "@tripod/linux";

export interface RegistryOptions {
  /** Where its blobs live; a folder of its own that goes away with it unless told. */
  readonly dir?: string;
  /** More configuration, as YAML lines at the top level. */
  readonly config?: string;
  /** The network namespace on whose loopback it listens, a path; this process's own unless told. */
  readonly netns?: string;
}

/** A running registry. */
export interface TestRegistry extends AsyncDisposable {
  /** "127.0.0.1:PORT": plain HTTP. */
  readonly host: string;
  readonly dir: string;
  close(): Promise<void>;
}

/** Starts Debian's docker-registry on a free port of the loopback address; deletion is enabled. */
export async function startRegistry(options: RegistryOptions = {}): Promise<TestRegistry> {
  const home = mkdtempSync("/tmp/tripod-registry-");
  const dir = options.dir ?? join(home, "data");
  mkdirSync(dir, { recursive: true });
  const config = join(home, "config.yml");
  writeFileSync(
    config,
    `version: 0.1
log: { level: info, formatter: json, accesslog: { disabled: true } }
storage:
  filesystem: { rootdirectory: ${JSON.stringify(dir)} }
  delete: { enabled: true }
  maintenance: { uploadpurging: { enabled: false } }
http: { addr: "127.0.0.1:0" }
${options.config ?? ""}`,
  );
  // setpriv's death signal ends the registry also when the test process is killed.
  const args = ["--pdeathsig", "KILL", "docker-registry", "serve", config];
  const launch = () => spawn("setpriv", args, { stdio: ["ignore", "ignore", "pipe"] });
  const child = options.netns === undefined ? launch() : inNetns(options.netns, launch);
  const exited = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const close = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    await exited;
    rmSync(home, { recursive: true, force: true });
  };
  try {
    const host = await new Promise<string>((resolve, reject) => {
      const said: string[] = [];
      child.once("error", (cause) =>
        reject(
          new TripodError("not-found", "start docker-registry: not installed; apt-get install docker-registry", {
            cause,
          }),
        ),
      );
      child.once("close", (code) =>
        reject(new TripodError("internal", `start docker-registry: exited with ${code}: ${said.join("\n")}`)),
      );
      createInterface({ input: child.stderr }).on("line", (line) => {
        said.push(line);
        const port = /listening on 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
        if (port !== undefined) resolve(`127.0.0.1:${port}`);
      });
    });
    return { host, dir, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}
