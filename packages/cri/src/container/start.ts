import { ContainerEventType } from "@tripod/api/cri";
import { failpoint, TripodError } from "@tripod/base";
import { withSpan } from "@tripod/trace";
import { restoreContainer, waitsForRestore } from "../checkpoint/restore-container.ts";
import type { CriContext } from "../context.ts";
import { nowNs } from "../now.ts";
import type { ContainerRecord } from "../records/container-record.ts";
import { runtimeOf } from "../runtime/handler.ts";
import { podAttributes } from "../sandbox/stop.ts";
import { recordExit, superviseContainer } from "./exit.ts";
import { podOomKillsAtStart } from "./oom.ts";

/** Starts a created container. One that has been started already is an error that says so. */
export async function startContainer(context: CriContext, idOrPrefix: string): Promise<void> {
  const { id } = context.containers.get(idOrPrefix);
  await context.locks.run(id, async () => {
    const container = context.containers.get(id);
    const restoring = waitsForRestore(container);
    if (container.phase !== "created" || (container.init === undefined && !restoring)) {
      throw new TripodError(
        "failed-precondition",
        `start container ${id}: it is ${container.phase}, only a created one can be started`,
      );
    }
    const sandbox = context.sandboxes.get(container.sandboxId);
    if (sandbox.phase !== "ready") {
      throw new TripodError(
        "failed-precondition",
        `start container ${id}: its sandbox ${sandbox.id} is ${sandbox.phase}`,
      );
    }
    const { init } = container;
    await withSpan("cri.startContainer", { ...podAttributes(sandbox), "container.id": id }, async () => {
      await context.nri.starting(container);
      const starting: ContainerRecord = {
        ...container,
        ...podOomKillsAtStart(container),
        phase: "starting",
        startedAtNs: String(nowNs()),
      };
      context.containers.put(starting);
      failpoint("cri.container.starting");
      let restored: Pick<ContainerRecord, "init" | "supervisor"> = {};
      try {
        if (init !== undefined) await runtimeOf(context, container.handler).start(id, init.pid);
        else restored = await restoreContainer(context, container);
      } catch (error) {
        context.containers.putIfRoom(container);
        recordExit(context, id); // if that is why
        throw error;
      }
      failpoint("cri.container.started");
      const running: ContainerRecord = { ...starting, ...restored, phase: "running" };
      if (restoring) {
        context.containers.put(running);
        superviseContainer(context, running);
      } else context.containers.putInMemory(running);
      context.events.emit(ContainerEventType.CONTAINER_STARTED_EVENT, id, container.sandboxId);
      context.nri.started(context.containers.get(id));
      recordExit(context, id); // it may have run and ended already
    });
  });
}
