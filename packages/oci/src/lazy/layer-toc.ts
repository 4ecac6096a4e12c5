import { TripodError } from "@tripod/base";
import { type Digest, parseDigest } from "../digest.ts";
import { arrayAt, objectAt, optionalStringAt, parseJson, stringAt } from "../spec/json.ts";
import type { TarEntry, TarEntryType } from "../tar/tar-entry.ts";
import { toByteString } from "../unpack/entry-path.ts";
import { LayerBudget, type LayerLimits } from "../unpack/layer-limits.ts";

/** Where a chunk lies in the layer's blob. */
export interface ChunkSource {
  /** The first byte of the gzip member or zstd frame that it is in. */
  readonly start: number;
  /** What comes from here on belongs to other chunks. */
  readonly end: number;
  /** Decompressed bytes before it. */
  readonly skip: number;
  readonly compression: "gzip" | "zstd";
}

/** A part of a file that is fetched and verified at once. */
export interface TocChunk {
  /** In the file. */
  readonly offset: number;
  readonly length: number;
  /** Of the content, decompressed; undefined for zeros, which are in no blob. */
  readonly data: { readonly digest: Digest; readonly source: ChunkSource } | undefined;
}

/** A chunk that is in a blob. */
export type DataChunk = TocChunk & { readonly data: NonNullable<TocChunk["data"]> };

export const isData = (chunk: TocChunk): chunk is DataChunk => chunk.data !== undefined;

/** A member of the layer's archive, with where its content is. */
export interface TocFile {
  readonly entry: TarEntry;
  /** Without gaps, from the file's beginning to its end. */
  readonly chunks: readonly TocChunk[];
}

export interface TocOptions {
  /** Chunks lie before this byte of the blob: where the table itself begins. */
  readonly dataEnd: number;
  readonly compression: "gzip" | "zstd";
  readonly limits: LayerLimits;
  /** Names the table in errors. */
  readonly where: string;
}

/** No table of contents may be larger, decompressed. */
export const maxTocBytes = 256 * 1024 * 1024;
/** Chunks are decompressed in memory. */
const maxChunkBytes = 32 * 1024 * 1024;
const maxSkipBytes = 64 * 1024 * 1024;

const types: Readonly<Record<string, TarEntryType>> = {
  reg: "file",
  hardlink: "link",
  symlink: "symlink",
  dir: "directory",
  char: "char",
  block: "block",
  fifo: "fifo",
};

/** An entry of the table, before it is known where its data ends. */
interface RawChunk {
  readonly offset: number;
  readonly digest: string | undefined;
  /** Of the whole file, which is enough where this is its only chunk. */
  readonly fileDigest: string | undefined;
  readonly start: number;
  readonly skip: number;
  readonly endHint: number | undefined;
  readonly zeros: boolean;
  readonly size: number;
}

/**
 * Reads a table of contents: of eStargz (stargz.index.json) or zstd:chunked, which have the same fields. What it says was vouched for by whoever
 * made the image, and nobody else: everything is checked, and anything odd is an "invalid" error.
 */
export function parseToc(json: Uint8Array, options: TocOptions): TocFile[] {
  const { limits, where } = options;
  const document = objectAt(parseJson(json, where), where);
  const budget = new LayerBudget(limits);
  const found: { readonly entry: TarEntry; readonly raw: RawChunk[]; readonly where: string }[] = [];
  // One more item a chunk than there are files; chunks are at least a byte, so that both are bounded by the table's own size.
  for (const [index, item] of arrayAt(document.entries, `${where}: entries`, Number.POSITIVE_INFINITY).entries()) {
    const at = `${where}: entries[${index}]`;
    const fields = objectAt(item, at);
    const type = stringAt(fields.type, `${at}.type`);
    if (type === "chunk") {
      const file = found.at(-1);
      if (file?.entry.type !== "file" || file.entry.name !== nameAt(fields.name, `${at}.name`))
        throw new TripodError("invalid", `${at}: a chunk without its file before it`);
      file.raw.push(chunkAt(fields, at));
      continue;
    }
    const entry = entryAt(fields, at, types[type]);
    budget.entry(entry.size);
    found.push({ entry, raw: entry.size > 0 ? [chunkAt(fields, at)] : [], where: at });
  }
  const starts = [...new Set(found.flatMap(({ raw }) => raw.filter(({ zeros }) => !zeros).map(({ start }) => start)))];
  const ends = endsOf(starts, options);
  return found.map(({ entry, raw, where: at }) => ({ entry, chunks: chunksOf(entry, raw, { ...options, ends, at }) }));
}

/** Each place where data starts, and the next one. */
function endsOf(starts: number[], { dataEnd, where }: TocOptions): Map<number, number> {
  const sorted = starts.toSorted((a, b) => a - b);
  const last = sorted.at(-1) ?? 0;
  if (last >= dataEnd && sorted.length > 0)
    throw new TripodError("invalid", `${where}: says that data is at byte ${last}, where the layer has none`);
  return new Map(sorted.map((start, index) => [start, sorted[index + 1] ?? dataEnd]));
}

function chunksOf(
  entry: TarEntry,
  raw: readonly RawChunk[],
  { ends, at, compression }: TocOptions & { readonly ends: ReadonlyMap<number, number>; readonly at: string },
): TocChunk[] {
  const refuse = (why: string): TripodError => new TripodError("invalid", `${at}: ${why}`);
  return raw.map((chunk, index) => {
    const { offset, size, start, skip, endHint, zeros } = chunk;
    const length = (raw[index + 1]?.offset ?? entry.size) - offset;
    if ((index === 0 && offset !== 0) || length <= 0 || (size !== 0 && size !== length))
      throw refuse("its chunks do not follow one another");
    if (zeros) return { offset, length, data: undefined };
    if (length > maxChunkBytes) throw refuse(`a chunk of ${length} bytes is too large to be fetched alone`);
    const digest = chunk.digest ?? (raw.length === 1 ? chunk.fileDigest : undefined);
    if (digest === undefined || digest === "") throw refuse("a chunk without a digest, which nobody can verify");
    const next = ends.get(start) ?? start;
    const end = endHint !== undefined && endHint > start && endHint < next ? endHint : next;
    return {
      offset,
      length,
      data: { digest: parseDigest(digest, `${at}.chunkDigest`), source: { start, end, skip, compression } },
    };
  });
}

function chunkAt(fields: Record<string, unknown>, at: string): RawChunk {
  const chunkDigest = optionalStringAt(fields.chunkDigest, `${at}.chunkDigest`);
  return {
    offset: integerAt(fields.chunkOffset, `${at}.chunkOffset`),
    size: integerAt(fields.chunkSize, `${at}.chunkSize`),
    digest: chunkDigest === "" ? undefined : chunkDigest,
    fileDigest: optionalStringAt(fields.digest, `${at}.digest`),
    start: integerAt(fields.offset, `${at}.offset`),
    skip: integerAt(fields.innerOffset, `${at}.innerOffset`, maxSkipBytes),
    endHint: fields.endOffset == null ? undefined : integerAt(fields.endOffset, `${at}.endOffset`),
    zeros: optionalStringAt(fields.chunkType, `${at}.chunkType`) === "zeros",
  };
}

function entryAt(fields: Record<string, unknown>, at: string, type: TarEntryType | undefined): TarEntry {
  if (type === undefined) throw new TripodError("invalid", `${at}.type: nothing known`);
  const xattrs = Object.entries(fields.xattrs == null ? {} : objectAt(fields.xattrs, `${at}.xattrs`));
  return {
    name: nameAt(fields.name, `${at}.name`),
    type,
    linkName: fields.linkName == null ? "" : nameAt(fields.linkName, `${at}.linkName`),
    mode: integerAt(fields.mode, `${at}.mode`) & 0o7777,
    uid: integerAt(fields.uid, `${at}.uid`, 0xffff_fffe),
    gid: integerAt(fields.gid, `${at}.gid`, 0xffff_fffe),
    size: type === "file" ? integerAt(fields.size, `${at}.size`) : 0,
    ...timeAt(fields.modtime, `${at}.modtime`),
    deviceMajor: integerAt(fields.devMajor, `${at}.devMajor`, 0xfff),
    deviceMinor: integerAt(fields.devMinor, `${at}.devMinor`, 0xf_ffff),
    xattrs: new Map(
      xattrs.map(([name, value]) => [
        toByteString(name),
        Buffer.from(value === null ? "" : stringAt(value, `${at}.xattrs`), "base64"),
      ]),
    ),
  };
}

/** Names are bytes in archives and text in JSON; those that are no text were lost on the way. */
function nameAt(value: unknown, where: string): string {
  const text = stringAt(value, where);
  if (text.includes("\ufffd") || text.includes("\0"))
    throw new TripodError("invalid", `${where}: ${JSON.stringify(text.slice(0, 200))} is not the file's whole name`);
  if (text.length > 4096) throw new TripodError("invalid", `${where}: a name of ${text.length} characters`);
  return toByteString(text);
}

function integerAt(value: unknown, where: string, max: number = Number.MAX_SAFE_INTEGER): number {
  if (value == null) return 0; // Go's writers leave it out
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && value <= max) return value;
  throw new TripodError("invalid", `${where}: must be a whole number from 0 to ${max}`);
}

/** RFC 3339, with a fraction of up to nanoseconds. */
function timeAt(value: unknown, where: string): Pick<TarEntry, "mtime" | "mtimeNs"> {
  const text = optionalStringAt(value, where);
  if (text === undefined || text === "") return { mtime: 0 };
  const [, start = "", fraction = "", end = ""] =
    /^([-\d]+T[:\d]+)(?:\.(\d{1,9}))?(Z|[-+]\d\d:\d\d)$/i.exec(text) ?? [];
  const milliseconds = Date.parse(`${start}${end}`);
  if (Number.isNaN(milliseconds)) throw new TripodError("invalid", `${where}: is no time`);
  const ns = Number(fraction.padEnd(9, "0"));
  if (ns === 0) return { mtime: milliseconds / 1000 };
  return { mtime: milliseconds / 1000 + ns / 1e9, mtimeNs: BigInt(milliseconds) * 1_000_000n + BigInt(ns) };
}
