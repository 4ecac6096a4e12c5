import { ContainerEventType, NamespaceMode } from "@tripod/api/cri";
import { failpoint, messageOf } from "@tripod/base";
import { killCgroup, waitForExit } from "@tripod/linux";
import { waitsForRestore } from "../checkpoint/restore-container.ts";
import { bundleOf, type CriContext } from "../context.ts";
import { nowNs } from "../now.ts";
import {
  containerConfigOf,
  type ContainerExit,
  type ContainerRecord,
  type ProcessIdentity,
} from "../records/container-record.ts";
import { limitLog } from "./log-limit.ts";
import { wasOutOfMemory } from "./oom.ts";
import { isAlive, signalProcess } from "./process.ts";

const SIGKILL = 9;

const endOf = (process: ProcessIdentity, signal: AbortSignal): Promise<void> =>
  waitForExit(process.pid, { startTime: Number(process.startTime), signal });

/** What the supervisor has left behind about the container's end. */
function exitOnFile(context: CriContext, container: ContainerRecord): ContainerExit | undefined {
  const file = context.exits.read(container.id);
  if (file === undefined) return undefined;
  const outOfMemory =
    file.code !== 0 && wasOutOfMemory(container, { code: file.code, bundle: bundleOf(context, container.id) });
  const reason = file.code === 0 ? "Completed" : outOfMemory ? "OOMKilled" : "Error";
  // A file's time comes from the kernel's coarse clock, up to a tick behind the one that told the start.
  const startedAtNs = BigInt(container.startedAtNs ?? 0);
  const finishedAtNs = BigInt(file.atNs) < startedAtNs ? startedAtNs : BigInt(file.atNs);
  return { code: file.code, reason, message: "", finishedAtNs: String(finishedAtNs) };
}

function exitOf(context: CriContext, container: ContainerRecord): ContainerExit | undefined {
  const exit = exitOnFile(context, container);
  if (exit !== undefined) return exit;
  if (isAlive(container.supervisor)) return undefined; // it still has to write the file
  // It may have written the file, and ended, since we looked.
  const late = exitOnFile(context, container);
  if (late !== undefined) return late;
  if (isAlive(container.init)) {
    endAbandoned(context, container);
    return undefined;
  }
  return {
    code: 255,
    reason: "ContainerStatusUnknown",
    message:
      container.supervisor === undefined
        ? "the node was restarted while the container was there"
        : "the container's supervisor was killed, or had no room to write the exit code, so that nobody knows how the container ended",
    finishedAtNs: String(nowNs()),
  };
}

/** A container that nobody supervises writes no log and would leave no exit code: it is ended, and its end recorded once it has. */
function endAbandoned(context: CriContext, container: ContainerRecord): void {
  context.tasks.run("end a container without a supervisor", async (signal) => {
    if (container.init === undefined) return;
    signalProcess(container.init, SIGKILL);
    await killCgroup(container.cgroupsPath, { signal });
    await endOf(container.init, signal);
    recordExit(context, container.id);
  });
}

/**
 * Kills what an ended container has left: without a PID namespace of its own, what it started outlives its first process. Nothing needs to
 * be looked for where it had one.
 */
export async function killRemains(container: ContainerRecord): Promise<void> {
  const pid = containerConfigOf(container).linux?.securityContext?.namespaceOptions?.pid;
  if (pid !== NamespaceMode.CONTAINER) await killCgroup(container.cgroupsPath);
}

/**
 * Records that a container has ended, if it has: from its exit file, or, when the supervisor is gone without one, as unknown, once what it
 * left running has been killed. One synchronous step, so that nothing comes between reading and writing; asking again changes nothing.
 */
export function recordExit(context: CriContext, id: string): void {
  const container = context.containers.find(id);
  if (
    container === undefined ||
    container.phase === "making" ||
    container.phase === "starting" || // told once it is known whether it was started
    container.phase === "exited" ||
    container.phase === "removing" ||
    waitsForRestore(container) // nothing of it runs
  )
    return;
  const exit = exitOf(context, container);
  if (exit !== undefined) recordEnd(context, container, exit);
}

/** Records how a container has ended. */
export function recordEnd(context: CriContext, container: ContainerRecord, exit: ContainerExit): void {
  const { id } = container;
  const exited: ContainerRecord = { ...container, phase: "exited", exit };
  context.containers.putIfRoom(exited); // the next start finds the same
  failpoint("cri.container.exited");
  context.exits.settled(id);
  context.events.emit(ContainerEventType.CONTAINER_STOPPED_EVENT, id, container.sandboxId);
  context.nri.exited(exited);
  context.tasks.run("kill what an ended container left", () => killRemains(exited));
}

/** Follows a living container until its end is on record. */
export function superviseContainer(context: CriContext, container: ContainerRecord): void {
  const { supervisor, id } = container;
  if (supervisor === undefined) return;
  context.tasks.run("wait for a container's supervisor", async (signal) => {
    try {
      await endOf(supervisor, signal);
    } catch (error) {
      if (signal.aborted) return;
      context.log.warn({ container: id, error: messageOf(error) }, "container: its supervisor cannot be watched");
    }
    recordExit(context, id);
  });
  if (container.logPath !== "" && context.config.logLimit !== undefined)
    context.tasks.run("limit a container's log", (signal) => limitLog(context, container, signal));
}
