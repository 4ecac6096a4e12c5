import { rename } from "node:fs/promises";
import { statSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import { failpoint, TripodError } from "@tripod/base";
import { withSpan } from "@tripod/trace";
import type { CriContext } from "../context.ts";
import { runtimeOf } from "../runtime/handler.ts";
import { podAttributes } from "../sandbox/stop.ts";
import { archiveFolder } from "./archive-folder.ts";
import { captureContainer, checkpointsOf, requireCapturable } from "./capture.ts";
import { makeWorkFolder } from "./work-folder.ts";

/** What a request may take that says nothing of it. */
export const defaultTimeoutMs = 120_000;
const maxTimeoutMs = 24 * 3600 * 1000;

function requireLocation(id: string, location: string): void {
  const refuse = (why: string): never => {
    throw new TripodError("invalid", `checkpoint container ${id}: ${why}`);
  };
  if (!isAbsolute(location) || location.includes("\0")) refuse(`${JSON.stringify(location)} is no absolute path`);
  if (statSync(dirname(location), { throwIfNoEntry: false })?.isDirectory() !== true)
    refuse(`${dirname(location)} is no folder; make it first`);
  if (statSync(location, { throwIfNoEntry: false })?.isDirectory() === true)
    refuse(`${location} is a folder; name a file for the archive`);
}

/**
 * Writes a running container, which goes on, to a tar archive at `location` in the form that CRI-O, containerd and podman share. It stands
 * still meanwhile where its runtime can have it so. The archive is there whole or not at all, and belongs to root alone.
 */
export async function checkpointContainer(
  context: CriContext,
  idOrPrefix: string,
  { location, timeoutMs }: { readonly location: string; readonly timeoutMs: number },
): Promise<void> {
  const { id } = context.containers.get(idOrPrefix);
  await context.locks.run(id, async () => {
    const container = context.containers.get(id);
    requireCapturable(context, container);
    const what = `checkpoint container ${id}`;
    const { sharesKernel: whilePaused } = await runtimeOf(context, container.handler).features();
    const checkpoints = await checkpointsOf(context, container.handler, { what, leaveRunning: true, whilePaused });
    requireLocation(id, location);
    const sandbox = context.sandboxes.get(container.sandboxId);
    await withSpan("cri.checkpointContainer", { ...podAttributes(sandbox), "container.id": id, location }, async () => {
      await using work = makeWorkFolder(context, location);
      failpoint("cri.checkpoint.begun");
      const into = join(work.path, "content");
      try {
        if (whilePaused) await checkpoints.pause(id);
        failpoint("cri.checkpoint.paused");
        await captureContainer(context, container, {
          into,
          checkpoints,
          timeoutMs: timeoutMs > 0 ? Math.min(timeoutMs, maxTimeoutMs) : defaultTimeoutMs,
        });
      } finally {
        if (whilePaused) await checkpoints.resume(id);
      }
      await archiveFolder(into, work.partial);
      failpoint("cri.checkpoint.archived");
      await rename(work.partial, location);
    });
  });
}
