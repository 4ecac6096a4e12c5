import { type FileHandle, open } from "node:fs/promises";
import { nextData, nextHole } from "@tripod/linux";

export interface Range {
  readonly byteOffset: bigint;
  readonly sizeBytes: bigint;
}

const chunkBytes = 1024 * 1024;
/** Two images are compared in pieces of this size. */
const pieceBytes = 64 * 1024;

/** The ranges of an image that hold data, from `start` on. */
export async function* allocatedRanges(image: string, start: number, signal: AbortSignal): AsyncIterable<Range> {
  const file = await open(image, "r");
  try {
    const { size } = await file.stat();
    for (let from = nextData(file.fd, start); from !== undefined; ) {
      signal.throwIfAborted();
      const to = nextHole(file.fd, from) ?? size;
      yield { byteOffset: BigInt(from), sizeBytes: BigInt(to - from) };
      from = nextData(file.fd, to);
    }
  } finally {
    await file.close();
  }
}

/** The ranges, in whole pieces, that differ between two images, from `start` on. Where both have a hole nothing is read. */
export async function* changedRanges(
  base: string,
  image: string,
  { start, signal }: { readonly start: number; readonly signal: AbortSignal },
): AsyncIterable<Range> {
  const [before, after] = [await open(base, "r"), await open(image, "r")];
  try {
    const size = Math.max((await before.stat()).size, (await after.stat()).size);
    let open: { from: number; to: number } | undefined;
    for (let at = start; at < size; ) {
      signal.throwIfAborted();
      const next = Math.min(nextData(before.fd, at) ?? size, nextData(after.fd, at) ?? size);
      at = Math.max(at, next - (next % pieceBytes));
      if (at >= size) break;
      const [one, other] = await Promise.all([chunk(before, at), chunk(after, at)]);
      for (let piece = 0; piece < chunkBytes && at + piece < size; piece += pieceBytes) {
        if (one.compare(other, piece, piece + pieceBytes, piece, piece + pieceBytes) === 0) continue;
        const from = at + piece;
        const to = Math.min(from + pieceBytes, size);
        if (open?.to === from) open.to = to;
        else {
          if (open !== undefined) yield rangeOf(open);
          open = { from, to };
        }
      }
      at += chunkBytes;
    }
    if (open !== undefined) yield rangeOf(open);
  } finally {
    await before.close();
    await after.close();
  }
}

const rangeOf = ({ from, to }: { from: number; to: number }): Range => ({
  byteOffset: BigInt(from),
  sizeBytes: BigInt(to - from),
});

/** What is past the end reads as zeros. */
async function chunk(file: FileHandle, at: number): Promise<Buffer> {
  const bytes = Buffer.alloc(chunkBytes);
  await file.read(bytes, 0, chunkBytes, at);
  return bytes;
}
