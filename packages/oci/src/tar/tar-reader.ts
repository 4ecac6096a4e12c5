import { TripodError } from "@tripod/base";
import { type PaxRecords, parsePax, paxTime, paxTimeNs } from "./pax.ts";
import { checkSparse, parseSparseList, readGnuSparse, readSparse1, type SparsePiece } from "./sparse.ts";
import type { TarEntry, TarEntryType, TarSink } from "./tar-entry.ts";
import { checksumHolds, decimal, numberField, textField } from "./tar-numbers.ts";

/** The most that a PAX header or GNU long name may hold. */
const maxSpecialBytes = 1024 * 1024;
const maxNameBytes = 4096;

const types: Readonly<Record<string, TarEntryType>> = {
  "\0": "file",
  "0": "file",
  "1": "link",
  "2": "symlink",
  "3": "char",
  "4": "block",
  "5": "directory",
  "6": "fifo",
  "7": "file",
  S: "file",
};

const invalid = (why: string): TripodError => new TripodError("invalid", `tar: ${why}`);

/**
 * Reads a tar archive (v7, ustar, PAX, GNU long names, all GNU sparse formats) that comes in pieces of any size. Whatever does
 * not follow the format is an "invalid" error; what follows the end mark is skipped.
 */
export class TarReader {
  readonly #parser: Generator<number, void, Buffer>;
  readonly #held: Buffer[] = [];
  #heldBytes = 0;
  /** Above 0: exactly so many bytes are wanted. Below: anything up to so many. 0: done. */
  #want = 0;

  constructor(sink: TarSink) {
    this.#parser = parse(sink);
    this.#resume(this.#parser.next());
  }

  write(piece: Buffer): void {
    if (this.#want === 0 || piece.length === 0) return;
    this.#held.push(piece);
    this.#heldBytes += piece.length;
    while (this.#want !== 0 && this.#heldBytes >= Math.max(1, this.#want)) {
      this.#resume(this.#parser.next(this.#take()));
    }
    if (this.#want === 0) this.#held.length = 0;
  }

  /** The archive has ended; fails when that is in the middle of a header or of a member's data. */
  end(): void {
    if (this.#want === 0) return;
    if (this.#heldBytes > 0) throw invalid("archive ends in the middle of a block");
    let step = this.#parser.next(Buffer.alloc(0));
    while (step.done !== true) step = this.#parser.next(Buffer.alloc(0));
  }

  #resume(step: IteratorResult<number, void>): void {
    this.#want = step.done === true ? 0 : step.value;
  }

  #take(): Buffer {
    let first = this.#held[0] ?? Buffer.alloc(0);
    if (this.#want > 0 && first.length < this.#want) {
      first = Buffer.concat(this.#held);
      this.#held.length = 0;
      this.#held.push(first);
    }
    const count = Math.min(first.length, Math.abs(this.#want));
    if (count === first.length) this.#held.shift();
    else this.#held[0] = first.subarray(count);
    this.#heldBytes -= count;
    return first.subarray(0, count);
  }
}

function* parse(sink: TarSink): Generator<number, void, Buffer> {
  let pax: PaxRecords | undefined;
  let longName: string | undefined;
  let longLink: string | undefined;
  for (;;) {
    const block = yield 512;
    if (block.length === 0) {
      if (pax !== undefined || longName !== undefined || longLink !== undefined)
        throw invalid("archive ends after an extended header");
      return; // writers may leave out the end mark
    }
    if (block[0] === 0 && block.every((byte) => byte === 0)) return;
    if (!checksumHolds(block)) throw invalid("header checksum is wrong: not a tar archive, or damaged");
    const flag = String.fromCharCode(block[156] ?? 0);
    const stored = numberField(block, 124, 12);
    if (stored < 0) throw invalid("a member has a negative size");
    if (flag === "g") {
      yield* special(stored); // defaults for all members: nobody writes anything but comments there
    } else if (flag === "x" || flag === "X") pax = parsePax(yield* special(stored));
    else if (flag === "L") longName = cString(yield* special(stored));
    else if (flag === "K") longLink = cString(yield* special(stored));
    else {
      yield* member(sink, block, flag, { pax, longName, longLink });
      pax = undefined;
      longName = undefined;
      longLink = undefined;
    }
  }
}

const cString = (body: Buffer): string => textField(body, 0, body.length);

function* special(size: number): Generator<number, Buffer, Buffer> {
  if (size > maxSpecialBytes) throw invalid(`an extended header of ${size} bytes is too large`);
  if (size === 0) return Buffer.alloc(0);
  const padded = Math.ceil(size / 512) * 512;
  return Buffer.from(whole(yield padded).subarray(0, size));
}

function whole(piece: Buffer): Buffer {
  if (piece.length === 0) throw invalid("archive ends in the middle of a member");
  return piece;
}

interface Extensions {
  readonly pax: PaxRecords | undefined;
  readonly longName: string | undefined;
  readonly longLink: string | undefined;
}

function* member(sink: TarSink, block: Buffer, flag: string, extensions: Extensions): Generator<number, void, Buffer> {
  const values = extensions.pax?.values ?? new Map<string, string>();
  const known = types[flag];
  if (known === undefined) throw invalid(`member of the unknown type ${JSON.stringify(flag)}`);
  const ustar = block.toString("latin1", 257, 263) === "ustar\0";
  const prefix = ustar ? textField(block, 345, 155) : "";
  const shortName = textField(block, 0, 100);
  const name =
    values.get("GNU.sparse.name") ??
    values.get("path") ??
    extensions.longName ??
    (prefix === "" ? shortName : `${prefix}/${shortName}`);
  const linkName = values.get("linkpath") ?? extensions.longLink ?? textField(block, 157, 100);
  for (const text of [name, linkName]) {
    if (text.length > maxNameBytes || text.includes("\0")) throw invalid("a name is too long or has a NUL in it");
  }
  // Old archives mark a folder by the slash alone.
  const type = known === "file" && flag !== "S" && name.endsWith("/") ? "directory" : known;
  const paxSize = values.get("size");
  const claimed = paxSize === undefined ? numberField(block, 124, 12) : decimal(paxSize, "size");
  // No data follows links, folders and special files, whatever their size field says.
  const stored = known === "file" ? claimed : 0;
  const number = (key: string, start: number, length: number): number => {
    const text = values.get(key);
    return text === undefined ? numberField(block, start, length) : decimal(text, `PAX ${key}`);
  };
  const mtime = values.get("mtime");
  const sparse = type === "file" ? yield* sparseMap(block, flag, values, extensions.pax, stored) : undefined;
  const mtimeNs = mtime === undefined ? undefined : paxTimeNs(mtime);
  const special = type === "char" || type === "block";
  const entry: TarEntry = {
    name,
    type,
    linkName,
    mode: numberField(block, 100, 8) & 0o7777,
    uid: number("uid", 108, 8),
    gid: number("gid", 116, 8),
    size: type === "file" ? (sparse?.size ?? stored) : 0,
    mtime: mtime === undefined ? numberField(block, 136, 12) : paxTime(mtime),
    ...(mtimeNs === undefined ? {} : { mtimeNs }),
    deviceMajor: special ? numberField(block, 329, 8) : 0,
    deviceMinor: special ? numberField(block, 337, 8) : 0,
    xattrs: extensions.pax?.xattrs ?? new Map(),
  };
  sink.entry(entry);
  const dataBytes = stored - (sparse?.mapBytes ?? 0);
  yield* content(type === "file" ? sink : undefined, dataBytes, sparse?.pieces);
  sink.end();
}

function* content(
  sink: TarSink | undefined,
  size: number,
  pieces: readonly SparsePiece[] = [{ offset: 0, length: size }],
): Generator<number, void, Buffer> {
  if (sink === undefined) pieces = [{ offset: 0, length: size }];
  for (const piece of pieces) {
    for (let done = 0; done < piece.length; ) {
      const data = whole(yield -(piece.length - done));
      sink?.data(data, piece.offset + done);
      done += data.length;
    }
  }
  // Some writers (umoci insert) leave the last block short and the end mark out: the data is whole, and so is the archive.
  for (let padding = (512 - (size % 512)) % 512; padding > 0; ) {
    const zeros = yield -padding;
    if (zeros.length === 0) return;
    padding -= zeros.length;
  }
}

function* sparseMap(
  block: Buffer,
  flag: string,
  values: ReadonlyMap<string, string>,
  pax: PaxRecords | undefined,
  stored: number,
): Generator<number, { pieces: readonly SparsePiece[]; size: number; mapBytes: number } | undefined, Buffer> {
  const realSize = values.get("GNU.sparse.realsize") ?? values.get("GNU.sparse.size");
  if (flag === "S") {
    const pieces: SparsePiece[] = [];
    let more = readGnuSparse(block, false, pieces);
    while (more) more = readGnuSparse(whole(yield 512), true, pieces);
    const size = numberField(block, 483, 12);
    const held = pieces.filter((piece) => piece.length > 0);
    checkSparse(held, size, stored);
    return { pieces: held, size, mapBytes: 0 };
  }
  if (realSize === undefined) return undefined;
  const size = decimal(realSize, "sparse size");
  let pieces: readonly SparsePiece[];
  let mapBytes = 0;
  if (values.get("GNU.sparse.major") === "1") {
    const map = yield* readSparse1();
    pieces = map.pieces;
    mapBytes = map.blocks * 512;
  } else {
    const list = values.get("GNU.sparse.map");
    pieces = list === undefined ? (pax?.sparsePieces ?? []) : parseSparseList(list);
  }
  const held = pieces.filter((piece) => piece.length > 0);
  checkSparse(held, size, stored - mapBytes);
  return { pieces: held, size, mapBytes };
}
