import type { RuntimeService } from "@tripod/api/cri";
import { TripodError } from "@tripod/base";
import type { ServiceImpl } from "@tripod/grpc";
import type { StreamingServer } from "@tripod/streaming";
import { requireRunning } from "../container/exec-sync.ts";
import type { CriContext } from "../context.ts";

/** Exec, Attach, PortForward: each answers with a URL that serves once. */
export const streamingRpcs = (context: CriContext, server: StreamingServer) =>
  ({
    async exec(request) {
      const { id, phase } = context.containers.get(request.containerId);
      requireRunning(phase, id, "exec in");
      if (request.cmd.length === 0) throw new TripodError("invalid", `exec in container ${id}: there is no command`);
      const { cmd, tty, stdin, stdout, stderr } = request;
      return { url: server.urlForExec({ containerId: id, cmd, tty, stdin, stdout, stderr }) };
    },
    async attach({ containerId, tty, stdin, stdout, stderr }) {
      const { id, phase } = context.containers.get(containerId);
      requireRunning(phase, id, "attach to");
      return { url: server.urlForAttach({ containerId: id, tty, stdin, stdout, stderr }) };
    },
    async portForward({ podSandboxId, port }) {
      const { id, phase } = context.sandboxes.get(podSandboxId);
      if (phase !== "ready")
        throw new TripodError("failed-precondition", `forward ports of sandbox ${id}: it is not ready (${phase})`);
      return { url: server.urlForPortForward({ podSandboxId: id, port }) };
    },
  }) satisfies ServiceImpl<typeof RuntimeService>;
