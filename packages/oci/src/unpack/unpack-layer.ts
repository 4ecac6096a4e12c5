import { createHash } from "node:crypto";
import { TripodError } from "@tripod/base";
import type { Digest } from "../digest.ts";
import { TarReader } from "../tar/tar-reader.ts";
import { openDecompressed } from "./decompress.ts";
import type { LayerLimits } from "./layer-limits.ts";
import { type LayerContents, LayerWriter } from "./layer-writer.ts";
import { refusalOf } from "./refusal.ts";

export interface UnpackRequest {
  /** The layer as it came: plain tar, gzip or zstd. */
  readonly blob: string;
  /** An empty folder that nobody else uses. */
  readonly dir: string;
  /** What the unpacked tar must hash to; the layer is refused otherwise. Undefined only for archives that carry no such promise. */
  readonly diffId: Digest | undefined;
  readonly limits: LayerLimits;
}

/** Unpacks one layer; blocks its thread for most of the time, so it runs in a worker. */
export async function unpackLayer(request: UnpackRequest, signal: AbortSignal): Promise<LayerContents> {
  const writer = new LayerWriter(request.dir, request.limits);
  const reader = new TarReader(writer);
  const hash = createHash("sha256");
  const stream = await openDecompressed(request.blob);
  try {
    // Readable without an encoding yields Buffers.
    for await (const piece of stream as AsyncIterable<Buffer>) {
      signal.throwIfAborted();
      writer.stream(piece.length);
      hash.update(piece);
      reader.write(piece);
    }
    reader.end();
  } catch (error) {
    writer.abandon();
    throw explain(error);
  } finally {
    stream.destroy();
  }
  const found: Digest = `sha256:${hash.digest("hex")}`;
  if (request.diffId !== undefined && found !== request.diffId) {
    throw new TripodError(
      "corrupt",
      `unpack layer: its content is ${found}, the image's config promises ${request.diffId}; the image is broken where it was made`,
    );
  }
  return writer.finish();
}

function explain(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof TripodError) return error;
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new TripodError("exhausted", "unpack layer: no room left on the disk; remove unused images", {
      cause: error,
    });
  }
  if (code.startsWith("Z_") || code.startsWith("ZSTD_") || code.startsWith("ERR_ZSTD")) {
    return new TripodError("corrupt", `unpack layer: compressed data is damaged: ${error.message}`, { cause: error });
  }
  return refusalOf(error) ?? error;
}
