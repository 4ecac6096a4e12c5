import { closeSync, readFileSync, writeSync } from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";
import { failpoint, isNodeError, messageOf, TripodError } from "@tripod/base";
import { openPipe, quickCgroupMoves, reap, spawnProcess, streamOfFd, waitForExit } from "@tripod/linux";
import { withSpan } from "@tripod/trace";
import type { CreateRequest, SupervisedContainer } from "../low-level-runtime.ts";
import { criuErrors, environmentWithCriu } from "./criu.ts";
import { globalArguments, type RuntimeProgram } from "./runtime-program.ts";
import { readSyncMessage } from "./sync-pipe.ts";

export interface ConmonOptions extends RuntimeProgram {
  readonly conmon: string;
  /** conmon leaves a file named for the container in it, with the exit code as text. */
  readonly exitDir: string;
  /** The container's processes are taken from a checkpoint's files, and run at once. */
  readonly restore?: { readonly imagesDir: string; readonly criu: string };
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
    ...globalArguments(options).flatMap((argument) => ["--runtime-arg", argument]),
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
    ...(options.restore === undefined ? [] : ["--restore", options.restore.imagesDir]),
  ];
}

/** A pipe that is read here; disposing of it ends both. */
function readablePipe(): { readonly stream: Socket; readonly write: number } {
  const { read, write } = openPipe();
  return { stream: streamOfFd(read), write };
}

/** conmon forks and goes; the one that stays keeps the pipes' other ends until it has told the result. */
async function startSupervisor(
  request: CreateRequest,
  options: ConmonOptions,
  pipes: readonly number[],
): Promise<number> {
  try {
    return await spawnProcess(options.conmon, conmonArguments(request, options), {
      cwd: request.bundle,
      env: {
        PATH: environmentWithCriu(options.restore?.criu ?? "").PATH ?? "",
        _OCI_SYNCPIPE: "3",
        _OCI_STARTPIPE: "4",
        TMPDIR: options.exitDir, // for the socket of a terminal, which a conmon that is killed leaves behind
      },
      stdio: ["null", "null", ...pipes],
    });
  } catch (cause) {
    throw new TripodError("not-found", `start ${options.conmon}: ${messageOf(cause)}; install conmon`, { cause });
  } finally {
    for (const fd of pipes) closeSync(fd);
  }
}

/** Collects the first conmon, which Node knows nothing of; it ends as soon as it has forked. */
async function collect(pid: number): Promise<void> {
  if (reap(pid) !== undefined) return;
  await waitForExit(pid);
  reap(pid);
}

/** Lets the supervisor, which has started and waits, do its work. One that has died is told by its other pipes. */
function letGo(startPipe: number): void {
  try {
    writeSync(startPipe, "\0");
  } catch (error) {
    if (!isNodeError(error, "EPIPE")) throw error;
  }
}

/** Waits for the bundle; when it does not come, or too late, the supervisor, which has started nothing yet, ends. */
async function whenReady({ ready, signal }: CreateRequest, supervisor: number): Promise<void> {
  try {
    await ready;
    signal?.throwIfAborted();
  } catch (error) {
    process.kill(supervisor, "SIGKILL"); // not yet collected, so that it is there at least as a zombie
    await collect(supervisor);
    throw error;
  }
}

/**
 * Starts the supervisor, which detaches itself and runs `runtime create`; resolves when the container stands. The supervisor loads, and
 * the kernel gets ready to move a process to its cgroups, while the bundle is still being made.
 */
export function createSupervised(request: CreateRequest, options: ConmonOptions): Promise<SupervisedContainer> {
  return withSpan(
    options.restore === undefined ? "runc create" : "runc restore",
    { "container.id": request.id, bundle: request.bundle },
    async () => {
      const { id, signal, bundle } = request;
      signal?.throwIfAborted();
      request.ready?.catch(() => {}); // heard once the supervisor has started
      using owned = new DisposableStack();
      owned.use(quickCgroupMoves());
      const start = openPipe();
      owned.defer(() => closeSync(start.write));
      const errors = readablePipe();
      const sync = readablePipe();
      let complaint = "";
      errors.stream.on("data", (chunk: Buffer) => {
        if (complaint.length < 4096) complaint += chunk.toString();
      });
      const onAbort = (): void => {
        sync.stream.destroy(new TripodError("timeout", `create container ${id}: ${messageOf(signal?.reason)}`));
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      try {
        const first = await startSupervisor(request, options, [errors.write, sync.write, start.read]);
        failpoint("oci.runtime.supervisor-started");
        await whenReady(request, first);
        letGo(start.write);
        const [message] = await Promise.all([readSyncMessage(sync.stream), collect(first)]);
        if (message.kind === "failed") {
          // Without the id, which names nothing that is left: the same failure of the next attempt reads the same.
          if (options.restore === undefined) throw new TripodError("internal", `create container: ${message.message}`);
          const why = [message.message, criuErrors(bundle, "restore.log")].filter((text) => text !== "");
          throw new TripodError("failed-precondition", `restore container: ${why.join("; ")}`);
        }
        return { pid: message.pid, supervisorPid: Number(readFileSync(join(bundle, "conmon.pid"), "utf8")) };
      } catch (error) {
        if (error instanceof TripodError && complaint !== "" && error.message.startsWith("conmon: ended")) {
          throw new TripodError("internal", `create container ${id}: conmon failed: ${complaint.trim()}`, {
            cause: error,
          });
        }
        throw error;
      } finally {
        signal?.removeEventListener("abort", onAbort);
        sync.stream.destroy();
        errors.stream.destroy();
      }
    },
  );
}
