import { messageOf } from "@tripod/base";
import { thawCgroup } from "@tripod/linux";
import { endLeftExecs } from "@tripod/oci";
import { removeLeftCheckpoints } from "../checkpoint/work-folder.ts";
import { killContainer } from "../container/kill.ts";
import { killRemains, recordExit, superviseContainer } from "../container/exit.ts";
import { isAlive } from "../container/process.ts";
import { undoContainer } from "../container/undo.ts";
import type { CriContext } from "../context.ts";
import type { ContainerRecord } from "../records/container-record.ts";
import { removingRuntimeOf, runtimeOf } from "../runtime/handler.ts";
import { stopLocked } from "../sandbox/stop.ts";
import { undoSandbox } from "../sandbox/undo.ts";
import { watchSharedPid } from "../sandbox/watch-shared-pid.ts";
import { removeLeftovers } from "./leftovers.ts";

/** A container of an earlier run, brought to the state that the kernel knows. */
async function reconcileContainer(
  context: CriContext,
  container: ContainerRecord,
  options: { readonly rebooted: boolean },
): Promise<void> {
  switch (container.phase) {
    case "making":
    case "removing":
      await undoContainer(context, container);
      return;
    case "exited":
      await killRemains(container);
      return;
    default:
  }
  const { startedAtNs: _startedAtNs, ...unstarted } = container;
  const { id, handler, phase, init } = container;
  if (container.restore !== undefined && init === undefined && (phase === "created" || phase === "starting")) {
    // Killed in its midst, nobody knows how far it came: it is to be asked for again.
    await removingRuntimeOf(context, handler).delete({ id, cgroupsPath: container.cgroupsPath });
    context.containers.put({ ...unstarted, phase: "created" });
    if (options.rebooted) await killContainer(context, id); // its root file system is no longer mounted
    return;
  }
  // A runtime knows about what lives alone.
  const isStarted = async (): Promise<boolean> => !isAlive(init) || (await runtimeOf(context, handler).isStarted(id));
  const started = phase === "running" || (phase === "starting" && (await isStarted()));
  const now: ContainerRecord = started ? { ...container, phase: "running" } : { ...unstarted, phase: "created" };
  context.containers.putInMemory(now);
  recordExit(context, id);
  if (context.containers.find(id)?.phase === "exited") return;
  // Whoever froze it to kill or update it was killed in between.
  thawCgroup(now.cgroupsPath);
  superviseContainer(context, now);
}

/** After a restart of the node another process may have the number, and even the start time, of one on record. */
function forgetProcesses(context: CriContext): void {
  for (const { init: _init, supervisor: _supervisor, ...container } of context.containers.list())
    context.containers.putInMemory(container);
  for (const { init: _init, ...sandbox } of context.sandboxes.list()) context.sandboxes.putInMemory(sandbox);
}

/**
 * Brings records and kernel together before the first RPC is served: half-made things are removed, half-done removals finished, ends
 * that nobody saw recorded, and what no record knows taken away. A failure is logged, its record kept for the next try, and the server
 * starts all the same.
 */
export async function reconcile(context: CriContext, options: { readonly rebooted: boolean }): Promise<void> {
  if (options.rebooted) forgetProcesses(context);
  const attempt = async (what: string, id: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      context.log.error({ id, error: messageOf(error) }, what);
    }
  };
  await attempt("reconcile: commands by exec that nobody waits for", "", async () => {
    endLeftExecs(context.layout.containersDir);
  });
  await attempt("reconcile: checkpoints that nobody waits for", "", async () => {
    await removeLeftCheckpoints(context);
  });
  for (const container of context.containers.list()) {
    await attempt("reconcile: container", container.id, () => reconcileContainer(context, container, options));
  }
  for (const sandbox of context.sandboxes.list()) {
    await attempt("reconcile: sandbox", sandbox.id, async () => {
      if (sandbox.phase === "making" || sandbox.phase === "removing") {
        for (const container of context.containers.list().filter(({ sandboxId }) => sandboxId === sandbox.id)) {
          await killContainer(context, container.id);
          await undoContainer(context, container);
        }
        await undoSandbox(context, sandbox);
      } else if (sandbox.phase === "stopping" || (sandbox.phase === "ready" && options.rebooted)) {
        await stopLocked(context, sandbox);
      } else watchSharedPid(context, sandbox);
    });
  }
  await removeLeftovers(context);
}
