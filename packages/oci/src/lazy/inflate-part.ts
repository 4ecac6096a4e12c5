import type { Transform } from "node:stream";
import { constants, createGunzip, createZstdDecompress, gunzipSync } from "node:zlib";
import { TripodError } from "@tripod/base";
import type { ChunkSource } from "./layer-toc.ts";

const pieceBytes = 256 * 1024;
/** Less than this is done sooner than a thread could begin. */
const atOnceBytes = 64 * 1024;

/** Decompresses what begins with `compressed` until `length` bytes after the source's `skip` are there. What does not give them is "corrupt". */
export async function inflatePart(
  compressed: Uint8Array,
  { skip, compression }: Pick<ChunkSource, "skip" | "compression">,
  length: number,
): Promise<Buffer> {
  if (compression === "gzip" && compressed.byteLength <= atOnceBytes && skip + length <= atOnceBytes) {
    const plain = inflateAtOnce(compressed);
    if (plain !== undefined && plain.length >= skip + length) return plain.subarray(skip, skip + length);
  }
  const decoder: Transform =
    compression === "gzip"
      ? createGunzip({ chunkSize: Math.min(pieceBytes, Math.max(1024, skip + length)) })
      : createZstdDecompress({ chunkSize: Math.min(pieceBytes, Math.max(1024, skip + length)) });
  const parts: Buffer[] = [];
  let seen = 0;
  let have = 0;
  try {
    decoder.end(compressed);
    // A stream without an encoding yields Buffers. Leaving the loop ends it.
    for await (const piece of decoder as AsyncIterable<Buffer>) {
      const part = piece.subarray(Math.max(0, skip - seen)).subarray(0, length - have);
      seen += piece.length;
      have += part.length;
      parts.push(part);
      if (have === length) return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
    }
  } catch (cause) {
    throw new TripodError("corrupt", "decompress a chunk: its compressed data is damaged", { cause });
  } finally {
    decoder.destroy();
  }
  throw new TripodError("corrupt", `decompress a chunk: ${have} bytes came, ${length} were promised`);
}

/** Undefined where there is more in it than is worth it, or something is wrong: the long way tells what. */
function inflateAtOnce(compressed: Uint8Array): Buffer | undefined {
  try {
    // What comes last may be cut off.
    return gunzipSync(compressed, { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: 4 * atOnceBytes });
  } catch {
    return undefined;
  }
}
