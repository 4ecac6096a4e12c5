import { readdirSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { isNodeError, runCommand } from "@tripod/base";
import { killCgroup, removeCgroup, waitForExit, mountInfo, unmount } from "@tripod/linux";
import { withSpan } from "@tripod/trace";
import type { DeleteRequest } from "../low-level-runtime.ts";
import { globalArguments, type RuntimeProgram } from "./runtime-program.ts";

function commandLine(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return []; // it ended since readdir
  }
}

/** The processes that were started for container `id`: supervisor, and a runtime command that may still be at work. */
function processesOfContainer(id: string, rootDir: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      const words = commandLine(name);
      return words.includes(id) && words.some((word) => word.includes(rootDir));
    })
    .map(Number);
}

/** Ends a process by SIGKILL and waits for it; one that is gone is no error. */
async function endProcess(pid: number): Promise<void> {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (isNodeError(error, "ESRCH")) return;
    throw error;
  }
  await waitForExit(pid);
}

/** A supervisor may start its runtime while it is looked for, so this looks again until there is nothing. */
async function endProcessesOfContainer(id: string, rootDir: string): Promise<void> {
  for (;;) {
    const found = processesOfContainer(id, rootDir);
    if (found.length === 0) return;
    await Promise.all(found.map(endProcess));
  }
}

/** How often, and how long in between, a state folder in use is tried again: a `runc init` without parent ends by itself at once. */
const stateTries = 100;
const statePauseMs = 20;

/** Removes a runtime's state. runc binds its own program into it for a moment; killed just then, it leaves the mount behind. */
async function removeState(folder: string): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await rm(folder, { recursive: true, force: true });
      return;
    } catch (error) {
      if (tries === stateTries || !isNodeError(error, "EBUSY", "ENOTEMPTY")) throw error;
    }
    for (const { mountPoint } of mountInfo())
      if (mountPoint.startsWith(`${folder}/`)) unmount(mountPoint, { detach: true });
    await delay(statePauseMs);
  }
}

/**
 * Removes all that is left of a container: supervisor and runtime processes, the cgroup with everything in it, the runtime's state.
 * It does not ask runc, whose own state may be half-written after a crash; `program` is a runtime that has more to take away than that,
 * and is asked first. Every step is tried; failures come together.
 */
export function deleteContainer(
  container: DeleteRequest,
  { rootDir, program }: { readonly rootDir: string; readonly program: RuntimeProgram | undefined },
): Promise<void> {
  return withSpan("runc delete", { "container.id": container.id }, async () => {
    const errors: unknown[] = [];
    const attempt = async (work: () => unknown): Promise<void> => {
      try {
        await work();
      } catch (error) {
        errors.push(error);
      }
    };
    // The supervisor first: it would write an exit file, and a runtime at work would make anew what is removed here.
    if (container.processes === undefined) await attempt(() => endProcessesOfContainer(container.id, rootDir));
    for (const pid of container.processes ?? []) await attempt(() => endProcess(pid));
    if (program !== undefined) {
      // What it cannot do, for want of its own state or program, the steps below do as far as they can.
      await runCommand(program.runtime, [...globalArguments(program), "delete", "--force", container.id], {
        okExitCodes: "any",
        timeoutMs: 30_000,
      }).catch(() => {});
    }
    await attempt(() => killCgroup(container.cgroupsPath));
    await attempt(() => removeCgroup(container.cgroupsPath));
    await attempt(() => removeState(join(rootDir, container.id)));
    if (errors.length > 0) throw new AggregateError(errors, `delete container ${container.id}`);
  });
}
