import { ContainerEventType, NamespaceMode } from "@tripod/api/cri";
import { failpoint, messageOf } from "@tripod/base";
import { killCgroup, waitForExit } from "@tripod/linux";
import { bundleOf, type CriContext } from "../context.ts";
import { nowNs } from "../now.ts";
import { containerConfigOf, type ContainerExit, type ContainerRecord } from "../records/container-record.ts";
import { wasOutOfMemory } from "./oom.ts";
import { isAlive } from "./process.ts";

function exitOf(context: CriContext, container: ContainerRecord): ContainerExit | undefined {
  const file = context.exits.read(container.id);
  if (file !== undefined) {
    const outOfMemory = file.code !== 0 && wasOutOfMemory(container.cgroupsPath, bundleOf(context, container.id));
    const reason = file.code === 0 ? "Completed" : outOfMemory ? "OOMKilled" : "Error";
    // A file's time comes from the kernel's coarse clock, up to a tick behind the one that told the start.
    const startedAtNs = BigInt(container.startedAtNs ?? 0);
    const finishedAtNs = BigInt(file.atNs) < startedAtNs ? startedAtNs : BigInt(file.atNs);
    return { code: file.code, reason, message: "", finishedAtNs: String(finishedAtNs) };
  }
  if (isAlive(container.supervisor)) return undefined; // it still has to write the file
  return {
    code: 255,
    reason: "ContainerStatusUnknown",
    message: "the container's supervisor was killed, and with it the knowledge of how the container ended",
    finishedAtNs: String(nowNs()),
  };
}

/**
 * Records that a container has ended, if it has: from its exit file, or, when the supervisor is gone without one, as unknown, killing
 * what it left running. One synchronous step, so that nothing comes between reading and writing; asking again changes nothing.
 */
export function recordExit(context: CriContext, id: string): void {
  const container = context.containers.find(id);
  if (
    container === undefined ||
    container.phase === "making" ||
    container.phase === "exited" ||
    container.phase === "removing"
  )
    return;
  const exit = exitOf(context, container);
  if (exit === undefined) return;
  context.containers.put({ ...container, phase: "exited", exit });
  failpoint("cri.container.exited");
  context.exits.settled(id);
  context.events.emit(ContainerEventType.CONTAINER_STOPPED_EVENT, id, container.sandboxId);
  const pid = containerConfigOf(container).linux?.securityContext?.namespaceOptions?.pid;
  if (pid === NamespaceMode.CONTAINER) return;
  // Without a PID namespace of its own, what the container started outlives its first process.
  context.tasks.run("kill what an ended container left", async () => {
    await killCgroup(container.cgroupsPath);
  });
}

/** Follows a living container until its end is on record. */
export function superviseContainer(context: CriContext, container: ContainerRecord): void {
  const { supervisor, id } = container;
  if (supervisor === undefined) return;
  context.tasks.run("wait for a container's supervisor", async (signal) => {
    try {
      await waitForExit(supervisor.pid, { signal });
    } catch (error) {
      if (signal.aborted) return;
      context.log.warn({ container: id, error: messageOf(error) }, "container: its supervisor cannot be watched");
    }
    recordExit(context, id);
  });
}
