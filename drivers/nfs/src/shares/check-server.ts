import { once } from "node:events";
import { connect } from "node:net";
import { messageOf, TripodError } from "@tripod/base";

const withinMs = 5000;

/** Whether somebody listens where an NFS server should: "unavailable" when not. What hangs later is told apart from what is not there. */
export async function checkServer(server: string, options: readonly string[]): Promise<void> {
  const port = Number(options.find((option) => option.startsWith("port="))?.slice("port=".length) ?? 2049);
  const socket = connect({ host: server.replace(/^\[|\]$/g, ""), port, signal: AbortSignal.timeout(withinMs) });
  try {
    await once(socket, "connect");
  } catch (cause) {
    const why =
      cause instanceof Error && cause.name === "AbortError" ? `no answer in ${withinMs} ms` : messageOf(cause);
    throw new TripodError(
      "unavailable",
      `NFS server ${server}, port ${port}: ${why}; is it running, and reachable from here?`,
      { cause },
    );
  } finally {
    socket.destroy();
  }
}
