import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { messageOf, TripodError } from "@tripod/base";

export interface DemoRegistry extends AsyncDisposable {
  /** host:port. */
  readonly host: string;
}

/** Starts Debian's docker-registry on a free port of loopback, with its data under `dir`; ready when it says that it listens. */
export async function startDemoRegistry(dir: string): Promise<DemoRegistry> {
  mkdirSync(dir, { recursive: true });
  const config = {
    version: 0.1,
    log: { level: "info" },
    storage: { filesystem: { rootdirectory: join(dir, "data") } },
    http: { addr: "127.0.0.1:0" },
  };
  writeFileSync(join(dir, "config.yml"), JSON.stringify(config)); // JSON is YAML
  const child = spawn("docker-registry", ["serve", join(dir, "config.yml")], { stdio: ["ignore", "ignore", "pipe"] });
  const host = await new Promise<string>((resolve, reject) => {
    child.once("error", (cause) => {
      const what = `start a registry: ${messageOf(cause)}; apt-get install docker-registry`;
      reject(new TripodError("not-found", what, { cause }));
    });
    let last = "";
    child.once("close", () =>
      reject(new TripodError("unavailable", `start a registry: docker-registry ended: ${last}`)),
    );
    createInterface({ input: child.stderr }).on("line", (line) => {
      last = line;
      const address = /listening on (127\.0\.0\.1:\d+)/.exec(line)?.[1];
      if (address !== undefined) resolve(address);
    });
  });
  return {
    host,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      await ended;
    },
  };
}
