import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { LayerMember } from "../build/layer-tar.ts";
import { type Digest, digestOf } from "../digest.ts";
import type { TarEntry } from "../tar/tar-entry.ts";
import { encodeTarHeader, plainEntry, tarEnd, tarPadding } from "../tar/tar-header.ts";
import { encodeFooter } from "./estargz-footer.ts";
import { tocName } from "./estargz-names.ts";

const compress = promisify(gzip);

/** What is fetched and verified at once. */
export const estargzChunkBytes = 4 * 1024 * 1024;
/** Headers that are compressed together at most. */
const headerRunBytes = 1024 * 1024;

export interface EstargzFacts {
  /** Of the archive, decompressed. */
  readonly diffId: Digest;
  readonly uncompressedBytes: number;
  /** Of the table of contents. */
  readonly tocDigest: Digest;
}

/**
 * Compresses an archive so that each chunk of each file can be fetched and verified alone: a gzip whose members are the chunks and what
 * stands between them, with a table of contents at its end (stargz-snapshotter, docs/estargz.md). Any other reader sees a tar.gz.
 */
export async function* writeEstargz(
  members: Iterable<LayerMember> | AsyncIterable<LayerMember>,
): AsyncGenerator<Buffer, EstargzFacts> {
  const writer = new MemberWriter();
  const entries: object[] = [];
  for await (const { entry, content } of members) {
    const described = describe(entry);
    yield* writer.plain(encodeTarHeader(entry));
    if (content === undefined) {
      entries.push(described);
      continue;
    }
    const whole = createHash("sha256");
    const chunks: object[] = [];
    let chunkOffset = 0;
    for await (const chunk of inChunks(content)) {
      whole.update(chunk);
      yield* writer.flush();
      const place = { offset: writer.offset, chunkOffset, chunkSize: chunk.length, chunkDigest: digestOf(chunk) };
      yield* writer.member(chunk);
      chunks.push(place);
      chunkOffset += chunk.length;
    }
    const [first, ...more] = chunks;
    entries.push({ ...described, ...first, digest: `sha256:${whole.digest("hex")}` });
    entries.push(...more.map((chunk) => ({ name: described.name, type: "chunk", ...chunk })));
    yield* writer.plain(tarPadding(entry.size));
  }
  yield* writer.flush();
  const toc = Buffer.from(JSON.stringify({ version: 1, entries }));
  const tocOffset = writer.offset;
  const header = encodeTarHeader(plainEntry(tocName, toc.length, { mode: 0o444 }));
  yield* writer.plain(Buffer.concat([header, toc, tarPadding(toc.length), tarEnd()]));
  yield* writer.flush();
  yield encodeFooter(tocOffset);
  return { ...writer.facts(), tocDigest: digestOf(toc) };
}

/** Writes a stream as gzip members, and knows where it is. */
class MemberWriter {
  /** Compressed bytes so far. */
  offset = 0;
  readonly #hash = createHash("sha256");
  #plainBytes = 0;
  #run: Buffer[] = [];
  #runBytes = 0;

  facts(): { readonly diffId: Digest; readonly uncompressedBytes: number } {
    return { diffId: `sha256:${this.#hash.digest("hex")}`, uncompressedBytes: this.#plainBytes };
  }

  /** Goes into a member with what comes before and after it. */
  async *plain(bytes: Buffer): AsyncGenerator<Buffer> {
    this.#run.push(bytes);
    this.#runBytes += bytes.length;
    if (this.#runBytes > headerRunBytes) yield* this.flush();
  }

  async *flush(): AsyncGenerator<Buffer> {
    if (this.#runBytes === 0) return;
    const run = Buffer.concat(this.#run);
    this.#run = [];
    this.#runBytes = 0;
    yield* this.member(run);
  }

  async *member(bytes: Buffer): AsyncGenerator<Buffer> {
    this.#hash.update(bytes);
    this.#plainBytes += bytes.length;
    const compressed = await compress(bytes);
    this.offset += compressed.length;
    yield compressed;
  }
}

async function* inChunks(content: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let size = 0;
  for await (const piece of content) {
    for (let at = 0; at < piece.length; ) {
      const part = piece.subarray(at, at + estargzChunkBytes - size);
      parts.push(part);
      size += part.length;
      at += part.length;
      if (size < estargzChunkBytes) continue;
      yield Buffer.concat(parts);
      parts = [];
      size = 0;
    }
  }
  if (size > 0) yield Buffer.concat(parts);
}

const typeNames: Readonly<Record<TarEntry["type"], string>> = {
  file: "reg",
  link: "hardlink",
  symlink: "symlink",
  char: "char",
  block: "block",
  directory: "dir",
  fifo: "fifo",
};

const textOf = (bytes: string): string => Buffer.from(bytes, "latin1").toString();

/** In RFC 3339, to the nanosecond where the archive is. */
function timeOf({ mtime, mtimeNs = BigInt(Math.floor(mtime)) * 1_000_000_000n }: TarEntry): string {
  const ns = ((mtimeNs % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  const whole = new Date(Number((mtimeNs - ns) / 1_000_000n)).toISOString().slice(0, 19);
  return ns === 0n ? `${whole}Z` : `${whole}.${String(ns).padStart(9, "0")}Z`;
}

/** An entry of the table of contents, but for its chunks. Go's reader takes what is 0 or empty for absent. */
function describe(entry: TarEntry): { readonly name: string; readonly [field: string]: unknown } {
  const { name, type, linkName, mode, uid, gid, size, deviceMajor, deviceMinor, xattrs } = entry;
  return {
    name: textOf(name),
    type: typeNames[type],
    ...(type === "file" && { size }),
    modtime: timeOf(entry),
    ...(linkName !== "" && { linkName: textOf(linkName) }),
    mode,
    uid,
    gid,
    ...((type === "char" || type === "block") && { devMajor: deviceMajor, devMinor: deviceMinor }),
    ...(xattrs.size > 0 && {
      xattrs: Object.fromEntries([...xattrs].map(([key, value]) => [key, value.toString("base64")])),
    }),
  };
}
