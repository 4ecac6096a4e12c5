import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Socket } from "node:net";
import { isNodeError, isTripodError, messageOf, TripodError } from "@tripod/base";
import { connectInNetns } from "@tripod/linux";
import { withSpan } from "@tripod/trace";
import type { CriContext } from "../context.ts";
import { sandboxPaths } from "../sandbox/paths.ts";
import { podAttributes } from "../sandbox/stop.ts";

/** A connection to the port on the sandbox's loopback, of whichever family listens. */
async function connectToPort(netns: string | undefined, port: number, signal: AbortSignal): Promise<Socket> {
  const reasons: string[] = [];
  for (const host of ["127.0.0.1", "::1"]) {
    try {
      return await connectInNetns(netns, { host, port, signal });
    } catch (error) {
      if (signal.aborted || isTripodError(error)) throw error;
      reasons.push(messageOf(error));
    }
  }
  throw new TripodError("unavailable", `nothing listens on port ${port} in the sandbox: ${reasons.join("; ")}`);
}

/** Joins a connection to a port in the sandbox until either side ends it. */
export async function forwardPort(
  context: CriContext,
  to: { readonly podSandboxId: string; readonly port: number; readonly signal: AbortSignal },
  connection: Duplex,
): Promise<void> {
  const sandbox = context.sandboxes.get(to.podSandboxId);
  if (sandbox.phase !== "ready") {
    throw new TripodError(
      "failed-precondition",
      `forward port ${to.port}: sandbox ${sandbox.id} is not ready (${sandbox.phase})`,
    );
  }
  await withSpan("cri.portForward", { ...podAttributes(sandbox), port: to.port }, async () => {
    const socket = await connectToPort(sandboxPaths(context, sandbox).net, to.port, to.signal);
    const { signal } = to;
    try {
      const sending = pipeline(connection, socket, { signal });
      sending.catch(() => {}); // told below, unless the answer is complete without it
      await pipeline(socket, connection, { signal });
      await settledWithin(sending, lingerMs);
    } catch (error) {
      // The peer that hangs up in the middle is how most connections end.
      if (!signal.aborted && !connection.destroyed && !isHangup(error)) throw error;
    } finally {
      socket.destroy();
    }
  });
}

/** Once the server has said all, what the peer still sends has this long; most servers have closed both ways by then. */
const lingerMs = 100;

async function settledWithin(work: Promise<void>, limitMs: number): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, limitMs);
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

const isHangup = (error: unknown): boolean => isNodeError(error, "ECONNRESET", "EPIPE", "ERR_STREAM_PREMATURE_CLOSE");
