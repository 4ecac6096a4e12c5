import { ContainerEventType } from "@tripod/api/cri";
import { waitForExit } from "@tripod/linux";
import type { CriContext } from "../context.ts";
import type { SandboxRecord } from "../records/sandbox-record.ts";

/** Tells listeners when the init of a shared PID namespace ends by itself, and with it every container that shares it. */
export function watchSharedPid(context: CriContext, { id, init }: SandboxRecord): void {
  if (init === undefined) return;
  context.tasks.run("wait for a sandbox's init", async (signal) => {
    await waitForExit(init.pid, { startTime: Number(init.startTime), signal });
    const sandbox = context.sandboxes.find(id);
    if (sandbox?.phase !== "ready") return; // it is being stopped, which is told by whoever does it
    context.sandboxes.putInMemory({ ...sandbox, endTold: true });
    context.events.emit(ContainerEventType.CONTAINER_STOPPED_EVENT, id, id);
  });
}
