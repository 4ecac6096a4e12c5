import { ContainerEventType } from "@tripod/api/cri";
import { failpoint } from "@tripod/base";
import { withSpan } from "@tripod/trace";
import { containersOf } from "../container/containers-of.ts";
import { killContainer } from "../container/kill.ts";
import type { CriContext } from "../context.ts";
import { sandboxConfigOf, sandboxMetadata, type SandboxRecord } from "../records/sandbox-record.ts";
import { teardown } from "../teardown.ts";
import { takeDownSandbox } from "./undo.ts";

/** Span attributes by which a Pod's trace finds the work on its sandbox. */
export function podAttributes(sandbox: SandboxRecord): Record<string, string> {
  const { namespace, name, uid } = sandboxMetadata(sandboxConfigOf(sandbox));
  return { "pod.namespace": namespace, "pod.name": name, "pod.uid": uid, "sandbox.id": sandbox.id };
}

/** Kills what runs in the sandbox and takes it down; what is stopped already, or gone, is no error. */
export async function stopSandbox(context: CriContext, idOrPrefix: string): Promise<void> {
  const found = context.sandboxes.find(idOrPrefix);
  if (found === undefined) return;
  await context.locks.run(found.id, async () => {
    const sandbox = context.sandboxes.find(found.id);
    if (sandbox === undefined || sandbox.phase === "stopped") return;
    await withSpan("cri.stopSandbox", podAttributes(sandbox), () => stopLocked(context, sandbox));
  });
}

/** The same for a caller that holds the sandbox's lock. */
export async function stopLocked(context: CriContext, sandbox: SandboxRecord): Promise<void> {
  if (sandbox.phase === "stopped") return;
  const stopping: SandboxRecord = { ...sandbox, phase: "stopping" };
  context.sandboxes.putIfRoom(stopping); // from here on no container is created in it
  failpoint("cri.sandbox.stopping");
  const creations: Iterable<Promise<unknown>> = context.creationsInSandbox.get(sandbox.id) ?? [];
  await Promise.allSettled(creations);
  const containers = containersOf(context, sandbox.id);
  await teardown(`stop containers of sandbox ${sandbox.id}`, [
    async () => {
      const results = await Promise.allSettled(containers.map((container) => killContainer(context, container.id)));
      const errors = results.flatMap((result) => (result.status === "rejected" ? [result.reason as unknown] : []));
      if (errors.length > 0) throw new AggregateError(errors, "kill");
    },
    () => failpoint("cri.sandbox.containers-killed"),
    () => takeDownSandbox(context, stopping),
  ]);
  context.sandboxes.putIfRoom({ ...stopping, phase: "stopped" });
  const { endTold } = context.sandboxes.get(sandbox.id);
  if (endTold !== true) context.events.emit(ContainerEventType.CONTAINER_STOPPED_EVENT, sandbox.id, sandbox.id);
  await context.nri.stoppedSandbox(stopping);
}
