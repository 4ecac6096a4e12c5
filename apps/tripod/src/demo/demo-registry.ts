import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { TripodError } from "@tripod/base";
import { probePort } from "../node/free-port.ts";

export interface DemoRegistry extends AsyncDisposable {
  /** host:port. */
  readonly host: string;
}

const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });

/** Starts Debian's docker-registry on a free port of loopback, with its data under `dir`. */
export async function startDemoRegistry(dir: string): Promise<DemoRegistry> {
  const port = await probePort(0);
  if (port === undefined) throw new TripodError("exhausted", "start a registry: no port of 127.0.0.1 is free");
  mkdirSync(dir, { recursive: true });
  const config = {
    version: 0.1,
    log: { level: "error" },
    storage: { filesystem: { rootdirectory: join(dir, "data") } },
    http: { addr: `127.0.0.1:${port}` },
  };
  writeFileSync(join(dir, "config.yml"), JSON.stringify(config)); // JSON is YAML
  const child = spawn("docker-registry", ["serve", join(dir, "config.yml")], { stdio: "ignore" });
  const failed = once(child, "error").then(([cause]) => {
    throw new TripodError(
      "not-found",
      "start a registry: docker-registry is not installed; apt-get install docker-registry",
      { cause },
    );
  });
  failed.catch(() => {}); // told below, while we wait; later there is nobody to tell
  for (let tries = 0; !(await accepts(port)); tries += 1) {
    if (tries === 200 || child.exitCode !== null)
      throw new TripodError("unavailable", `start a registry: docker-registry does not listen on 127.0.0.1:${port}`);
    await Promise.race([delay(50), failed]); // it tells nobody when it listens
  }
  return {
    host: `127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null) return;
      const ended = once(child, "exit");
      child.kill("SIGTERM");
      await ended;
    },
  };
}
