import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { failpoint, messageOf, TripodError } from "@tripod/base";
import { withSpan } from "@tripod/trace";
import type { CreateRequest, SupervisedContainer } from "../low-level-runtime.ts";
import { readSyncMessage } from "./sync-pipe.ts";

export interface ConmonOptions {
  readonly conmon: string;
  readonly runtime: string;
  /** The runtime's --root. */
  readonly rootDir: string;
  /** conmon leaves a file named for the container in it, with the exit code as text. */
  readonly exitDir: string;
}

/** The command line of the supervisor for `request`. */
function conmonArguments(request: CreateRequest, options: ConmonOptions): string[] {
  const { bundle, id } = request;
  const log = request.logPath === undefined ? "none" : `k8s-file:${request.logPath}`;
  // biome-ignore format: an option and its value on a line
  return [
    "--api-version", "1",
    "--cid", id,
    "--cuuid", id,
    "--name", id,
    "--bundle", bundle,
    "--full-attach",
    "--runtime", options.runtime,
    "--runtime-arg", `--root=${options.rootDir}`,
    "--exit-dir", options.exitDir,
    "--persist-dir", bundle,
    "--container-pidfile", join(bundle, "pid"),
    "--conmon-pidfile", join(bundle, "conmon.pid"),
    "--log-path", log,
    "--no-sync-log",
    ...(request.systemdCgroup === true ? ["--systemd-cgroup"] : []),
    ...(request.terminal ? ["--terminal"] : []),
    ...(request.stdin ? ["--stdin"] : []),
    ...(request.stdin && !request.stdinOnce ? ["--leave-stdin-open"] : []),
  ];
}

/** Starts the supervisor, which detaches itself and runs `runtime create`; resolves when the container stands. */
export function createSupervised(request: CreateRequest, options: ConmonOptions): Promise<SupervisedContainer> {
  return withSpan("runc create", { "container.id": request.id, bundle: request.bundle }, async () => {
    const child = spawn(options.conmon, conmonArguments(request, options), {
      cwd: request.bundle,
      env: { PATH: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin", _OCI_SYNCPIPE: "3" },
      detached: true,
      stdio: ["ignore", "ignore", "pipe", "pipe"],
    });
    failpoint("oci.runtime.supervisor-started");
    // The first conmon forks and goes; the second keeps our pipes' other ends until it has told the result.
    const failedToStart = new Promise<never>((_, reject) => {
      child.once("error", (cause) => {
        reject(new TripodError("not-found", `start ${options.conmon}: ${cause.message}; install conmon`, { cause }));
      });
    });
    let complaint = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      if (complaint.length < 4096) complaint += chunk.toString();
    });
    const sync = child.stdio[3] as Readable; // "pipe" above
    const onAbort = (): void => {
      sync.destroy(new TripodError("timeout", `create container ${request.id}: ${messageOf(request.signal?.reason)}`));
    };
    request.signal?.addEventListener("abort", onAbort, { once: true });
    try {
      request.signal?.throwIfAborted();
      const message = await Promise.race([readSyncMessage(sync), failedToStart]);
      if (message.kind === "failed") {
        // Without the id, which names nothing that is left: the same failure of the next attempt reads the same.
        throw new TripodError("internal", `create container: ${message.message}`);
      }
      return { pid: message.pid, supervisorPid: Number(readFileSync(join(request.bundle, "conmon.pid"), "utf8")) };
    } catch (error) {
      if (error instanceof TripodError && complaint !== "" && error.message.startsWith("conmon: ended")) {
        throw new TripodError("internal", `create container ${request.id}: conmon failed: ${complaint.trim()}`, {
          cause: error,
        });
      }
      throw error;
    } finally {
      request.signal?.removeEventListener("abort", onAbort);
      sync.destroy();
      child.stderr?.destroy();
      child.unref();
    }
  });
}
