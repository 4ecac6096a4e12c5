import { createReadStream } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { randomHex } from "@tripod/base";
import { type Digest, hexOf } from "../digest.ts";
import { encodeTarHeader, plainEntry, tarEnd, tarPadding } from "../tar/tar-header.ts";

/** A blob of a layout: its file, or its bytes. */
export interface LayoutBlob {
  readonly digest: Digest;
  readonly size: number;
  readonly content: string | Buffer;
}

/** A tar of an OCI layout: blobs sorted by digest, then the documents in their order. The same give the same bytes. */
export async function* layoutTar(
  blobs: Iterable<LayoutBlob>,
  documents: readonly (readonly [name: string, document: object])[],
): AsyncGenerator<Buffer> {
  for (const folder of ["blobs/", "blobs/sha256/"])
    yield encodeTarHeader(plainEntry(folder, 0, { type: "directory", mode: 0o755 }));
  const unique = new Map([...blobs].map((blob) => [blob.digest, blob]));
  for (const { digest, size, content } of [...unique.values()].toSorted((a, b) => (a.digest < b.digest ? -1 : 1))) {
    yield encodeTarHeader(plainEntry(`blobs/sha256/${hexOf(digest)}`, size));
    if (typeof content !== "string") yield content;
    // A stream without an encoding yields Buffers.
    else if (size > 0) yield* createReadStream(content, { highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>;
    yield tarPadding(size);
  }
  for (const [name, document] of documents) {
    const bytes = Buffer.from(JSON.stringify(document));
    yield encodeTarHeader(plainEntry(name, bytes.length));
    yield Buffer.concat([bytes, tarPadding(bytes.length)]);
  }
  yield tarEnd();
}

/** Writes to a stream, or to a path, which is replaced whole or not at all. */
export async function writeArchive(
  pieces: AsyncIterable<Buffer>,
  target: string | Writable,
  signal: AbortSignal | undefined,
): Promise<void> {
  const options = signal === undefined ? {} : { signal };
  if (typeof target !== "string") {
    await pipeline(Readable.from(pieces), target, { ...options, end: false });
    return;
  }
  const temporary = `${target}.${randomHex(4)}.tmp`;
  try {
    await using file = await open(temporary, "wx", 0o644);
    await file.writeFile(pieces, options);
    await file.sync();
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
