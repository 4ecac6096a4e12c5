import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { isNodeError } from "@tripod/base";
import type { FileIdentity } from "./worker-message.ts";

/** Reads a whole file for its digest and size; undefined when there is none. */
export async function fileIdentity(path: string, signal: AbortSignal): Promise<FileIdentity | undefined> {
  const hash = createHash("sha256");
  let size = 0;
  try {
    // A stream without an encoding yields Buffers.
    for await (const piece of createReadStream(path, { highWaterMark: 256 * 1024, signal }) as AsyncIterable<Buffer>) {
      hash.update(piece);
      size += piece.length;
    }
  } catch (error) {
    if (isNodeError(error, "ENOENT")) return undefined;
    throw error;
  }
  return { digest: `sha256:${hash.digest("hex")}`, size };
}
