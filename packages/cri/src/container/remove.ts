import { ContainerEventType } from "@tripod/api/cri";
import { failpoint } from "@tripod/base";
import { withSpan } from "@tripod/trace";
import type { CriContext } from "../context.ts";
import { killContainer } from "./kill.ts";
import { undoContainer } from "./undo.ts";

/** Removes the container, killing it when it lives; one that is gone is no error. Its log stays. */
export async function removeContainer(context: CriContext, idOrPrefix: string): Promise<void> {
  const found = context.containers.find(idOrPrefix);
  if (found === undefined) return;
  const { id, sandboxId } = found;
  await context.locks.run(id, async () => {
    if (context.containers.find(id) === undefined) return;
    await withSpan("cri.removeContainer", { "container.id": id, "sandbox.id": sandboxId }, async () => {
      await killContainer(context, id);
      const container = context.containers.get(id);
      const removing = { ...container, phase: "removing" as const };
      context.containers.putIfRoom(removing);
      failpoint("cri.container.removing");
      await context.nri.removedContainer(removing);
      await undoContainer(context, removing);
      context.events.emit(ContainerEventType.CONTAINER_DELETED_EVENT, id, sandboxId);
    });
  });
}
