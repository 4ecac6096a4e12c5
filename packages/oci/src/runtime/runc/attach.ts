import { once } from "node:events";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { isNodeError, TripodError } from "@tripod/base";
import { connectSeqpacket } from "@tripod/linux";
import type { AttachStreams } from "../low-level-runtime.ts";

/** conmon marks each packet with the pipe that it came from. */
const STDOUT = 2;
const STDERR = 3;
/** conmon reads at most this much of a packet; the rest of a longer one would be lost. */
const maxPacketBytes = 8192;

async function write(to: Writable | undefined, data: Buffer): Promise<void> {
  if (to === undefined || to.destroyed || to.writableEnded) return;
  if (!to.write(data)) await Promise.race([once(to, "drain"), once(to, "close")]);
}

async function pumpStdin(from: Readable, to: Writable): Promise<void> {
  for await (const chunk of from as AsyncIterable<Buffer>) {
    for (let offset = 0; offset < chunk.length; offset += maxPacketBytes) {
      await write(to, chunk.subarray(offset, offset + maxPacketBytes));
    }
  }
  to.end(); // shuts down our direction only: conmon closes the program's stdin, its output goes on
}

/** Joins the streams of a supervised container until it ends or the peer does. */
export async function attachSupervised(bundle: string, streams: AttachStreams): Promise<void> {
  const socket = connectSeqpacket(join(bundle, "attach"));
  const onAbort = (): void => {
    socket.destroy();
  };
  streams.signal?.addEventListener("abort", onAbort, { once: true });
  if (streams.signal?.aborted) onAbort();
  const stdin =
    streams.stdin === undefined
      ? Promise.resolve()
      : pumpStdin(streams.stdin, socket).catch((error: unknown) => {
          // A peer that vanishes, or a container that ends while it is typed at, is how a session ends.
          if (!socket.destroyed && streams.signal?.aborted !== true)
            socket.destroy(error instanceof Error ? error : undefined);
        });
  try {
    for await (const packet of socket as AsyncIterable<Buffer>) {
      const kind = packet[0];
      if (kind === STDOUT) await write(streams.stdout, packet.subarray(1));
      else if (kind === STDERR) await write(streams.stderr, packet.subarray(1));
      else
        throw new TripodError("corrupt", `attach to ${bundle}: the supervisor sent a packet of unknown kind ${kind}`);
    }
  } catch (error) {
    if (streams.signal?.aborted !== true && !isHangup(error)) throw error;
  } finally {
    streams.signal?.removeEventListener("abort", onAbort);
    socket.destroy();
    streams.stdin?.destroy();
    await finished(socket).catch(() => {}); // destroyed on purpose
    await stdin;
  }
}

/** The supervisor went away with the container, or we closed the socket. */
const isHangup = (error: unknown): boolean => isNodeError(error, "ECONNRESET", "EPIPE", "ERR_STREAM_PREMATURE_CLOSE");
