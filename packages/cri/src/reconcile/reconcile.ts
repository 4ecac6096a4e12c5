import { messageOf } from "@tripod/base";
import { killContainer } from "../container/kill.ts";
import { recordExit, superviseContainer } from "../container/exit.ts";
import { isAlive } from "../container/process.ts";
import { undoContainer } from "../container/undo.ts";
import type { CriContext } from "../context.ts";
import type { ContainerRecord } from "../records/container-record.ts";
import { runtimeOf } from "../runtime/handler.ts";
import { stopLocked } from "../sandbox/stop.ts";
import { undoSandbox } from "../sandbox/undo.ts";
import { removeLeftovers } from "./leftovers.ts";

/** A container of an earlier run, brought to the state that the kernel knows. */
async function reconcileContainer(context: CriContext, container: ContainerRecord): Promise<void> {
  switch (container.phase) {
    case "making":
    case "removing":
      await undoContainer(context, container);
      return;
    case "exited":
      return;
    default:
  }
  recordExit(context, container.id);
  const now = context.containers.get(container.id);
  if (now.phase === "exited") return;
  if (!isAlive(now.init) && !isAlive(now.supervisor)) {
    recordExit(context, container.id);
    return;
  }
  const started = await runtimeOf(context, now.handler).isStarted(now.id);
  if (started && now.phase !== "running") context.containers.putInMemory({ ...now, phase: "running" });
  else if (!started && now.phase === "starting") context.containers.putInMemory({ ...now, phase: "created" });
  superviseContainer(context, context.containers.get(container.id));
}

/**
 * Brings records and kernel together before the first RPC is served: half-made things are removed, half-done removals finished, ends
 * that nobody saw recorded, and what no record knows taken away. A failure is logged, its record kept for the next try, and the server
 * starts all the same.
 */
export async function reconcile(context: CriContext): Promise<void> {
  const attempt = async (what: string, id: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      context.log.error({ id, error: messageOf(error) }, what);
    }
  };
  for (const container of context.containers.list()) {
    await attempt("reconcile: container", container.id, () => reconcileContainer(context, container));
  }
  for (const sandbox of context.sandboxes.list()) {
    await attempt("reconcile: sandbox", sandbox.id, async () => {
      if (sandbox.phase === "making" || sandbox.phase === "removing") {
        for (const container of context.containers.list().filter(({ sandboxId }) => sandboxId === sandbox.id)) {
          await killContainer(context, container.id);
          await undoContainer(context, container);
        }
        await undoSandbox(context, sandbox);
      } else if (sandbox.phase === "stopping") await stopLocked(context, sandbox);
    });
  }
  await removeLeftovers(context);
}
