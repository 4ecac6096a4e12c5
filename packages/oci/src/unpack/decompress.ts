import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import type { Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";

export type Compression = "none" | "gzip" | "zstd";

const chunkSize = 256 * 1024;

/** Tells by the first bytes, as every runtime does: media types are often wrong. */
export function compressionOf(start: Uint8Array): Compression {
  if (start[0] === 0x1f && start[1] === 0x8b) return "gzip";
  if (start[0] === 0x28 && start[1] === 0xb5 && start[2] === 0x2f && start[3] === 0xfd) return "zstd";
  // A skippable frame may come first (zstd:chunked and the like).
  if (((start[0] ?? 0) & 0xf0) === 0x50 && start[1] === 0x2a && start[2] === 0x4d && start[3] === 0x18) return "zstd";
  return "none";
}

/** The file's content, decompressed when it is gzip or zstd. Whoever reads it must read to the end or destroy it. */
export async function openDecompressed(path: string): Promise<Readable> {
  await using file = await open(path, "r");
  const start = new Uint8Array(4);
  await file.read(start, 0, 4, 0);
  const compression = compressionOf(start);
  const raw = createReadStream(path, { highWaterMark: chunkSize });
  if (compression === "none") return raw;
  const decoder = compression === "gzip" ? createGunzip({ chunkSize }) : createZstdDecompress({ chunkSize });
  raw.on("error", (error) => decoder.destroy(error));
  decoder.on("close", () => raw.destroy());
  return raw.pipe(decoder);
}
