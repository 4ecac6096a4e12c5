import { ContainerEventType } from "@tripod/api/cri";
import { failpoint } from "@tripod/base";
import { withSpan } from "@tripod/trace";
import { containersOf } from "../container/containers-of.ts";
import { removeContainer } from "../container/remove.ts";
import type { CriContext } from "../context.ts";
import { teardown } from "../teardown.ts";
import { podAttributes, stopLocked } from "./stop.ts";
import { forgetSandbox, undoSandbox } from "./undo.ts";

/** Removes the sandbox with all its containers, killing what still runs; one that is gone is no error. */
export async function removeSandbox(context: CriContext, idOrPrefix: string): Promise<void> {
  const found = context.sandboxes.find(idOrPrefix);
  if (found === undefined) return;
  await context.locks.run(found.id, async () => {
    const sandbox = context.sandboxes.find(found.id);
    if (sandbox === undefined) return;
    await withSpan("cri.removeSandbox", podAttributes(sandbox), async () => {
      if (sandbox.phase === "ready" || sandbox.phase === "stopping") await stopLocked(context, sandbox);
      const removing = { ...sandbox, phase: "removing" as const };
      context.sandboxes.putIfRoom(removing);
      failpoint("cri.sandbox.removing");
      await teardown(
        `remove containers of sandbox ${sandbox.id}`,
        containersOf(context, sandbox.id).map((container) => () => removeContainer(context, container.id)),
      );
      // One that was stopped holds nothing any more; after a failure in an earlier removal that is not known.
      if (sandbox.phase === "removing" || sandbox.phase === "making") await undoSandbox(context, removing);
      else forgetSandbox(context, removing);
      context.events.emit(ContainerEventType.CONTAINER_DELETED_EVENT, sandbox.id, sandbox.id);
      await context.nri.removedSandbox(removing);
    });
  });
}
