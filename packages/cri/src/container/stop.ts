import { withSpan } from "@tripod/trace";
import type { CriContext } from "../context.ts";
import type { ContainerRecord, ProcessIdentity } from "../records/container-record.ts";
import { runtimeOf } from "../runtime/handler.ts";
import { recordExit } from "./exit.ts";
import { isLive, killContainer, waitForEnd } from "./kill.ts";
import { signalUntilHeard } from "./signal-until-heard.ts";

async function askToEnd(
  context: CriContext,
  { id, handler, stopSignal }: ContainerRecord,
  init: ProcessIdentity,
  until: AbortSignal,
): Promise<void> {
  const runtime = runtimeOf(context, handler);
  const { sharesKernel } = await runtime.features();
  if (sharesKernel || runtime.signal === undefined) await signalUntilHeard(init, stopSignal, until);
  else await runtime.signal(id, stopSignal);
}

/**
 * Asks the container to end with its stop signal and, `graceMs` later, kills it. A container that has ended, or is gone, is no error.
 * No lock is held: a second caller with less patience is not kept waiting by the first.
 */
export async function stopContainer(context: CriContext, idOrPrefix: string, graceMs: number): Promise<void> {
  const container = context.containers.find(idOrPrefix);
  if (container === undefined) return;
  const { id } = container;
  await withSpan("cri.stopContainer", { "container.id": id, "sandbox.id": container.sandboxId }, async () => {
    recordExit(context, id);
    if (!isLive(context, id)) return;
    // A container that was never started has nobody to hear the signal.
    const polite = graceMs > 0 && container.phase !== "created" && container.init !== undefined;
    if (polite && container.init !== undefined) {
      const over = new AbortController();
      try {
        const ended = waitForEnd(context, id, graceMs);
        await Promise.race([ended, askToEnd(context, container, container.init, over.signal)]);
        if (await ended) return;
      } finally {
        over.abort();
      }
    }
    await killContainer(context, id);
    await context.nri.settled();
  });
}
