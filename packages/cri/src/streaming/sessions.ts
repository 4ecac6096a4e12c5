import { messageOf } from "@tripod/base";
import type { RemoteStreams, StreamingHandlers } from "@tripod/streaming";
import { withSpan } from "@tripod/trace";
import { requireRunning } from "../container/exec-sync.ts";
import { bundleOf, type CriContext } from "../context.ts";
import { containerConfigOf } from "../records/container-record.ts";
import { runtimeOf } from "../runtime/handler.ts";
import { forwardPort } from "./port-forward.ts";

/** Sets the size of a container's own terminal whenever the peer's changes. */
function followTerminal(context: CriContext, id: string, streams: RemoteStreams): void {
  const container = context.containers.get(id);
  context.tasks.run("follow the size of an attached terminal", async () => {
    for await (const size of streams.resize) {
      try {
        runtimeOf(context, container.handler).resize(bundleOf(context, container.id), size);
      } catch (error) {
        context.log.info({ container: id, error: messageOf(error) }, "container: its terminal could not be resized");
        return; // it has ended
      }
    }
  });
}

/** What the streaming server runs. */
export const streamingHandlers = (context: CriContext): StreamingHandlers => ({
  async exec(request, streams) {
    const container = context.containers.get(request.containerId);
    requireRunning(container.phase, container.id, "exec in");
    const { stdin, stdout, stderr, resize, signal } = streams;
    return await withSpan("cri.exec", { "container.id": container.id, "sandbox.id": container.sandboxId }, () =>
      runtimeOf(context, container.handler).exec(container.id, {
        args: request.cmd,
        terminal: request.tty,
        bundle: bundleOf(context, container.id),
        ...(stdin !== undefined && { stdin }),
        ...(stdout !== undefined && { stdout }),
        ...(stderr !== undefined && { stderr }),
        ...(request.tty && { resize }),
        signal,
      }),
    );
  },
  async attach(request, streams) {
    const container = context.containers.get(request.containerId);
    requireRunning(container.phase, container.id, "attach to");
    if (containerConfigOf(container).tty) followTerminal(context, container.id, streams);
    const { stdin, stdout, stderr, signal } = streams;
    await withSpan("cri.attach", { "container.id": container.id, "sandbox.id": container.sandboxId }, () =>
      runtimeOf(context, container.handler).attach(bundleOf(context, container.id), {
        ...(stdin !== undefined && { stdin }),
        ...(stdout !== undefined && { stdout }),
        ...(stderr !== undefined && { stderr }),
        signal,
      }),
    );
  },
  async portForward(podSandboxId, port, connection, { signal }) {
    await forwardPort(context, { podSandboxId, port, signal }, connection);
  },
});
