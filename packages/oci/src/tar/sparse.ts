import { TripodError } from "@tripod/base";
import { decimal, numberField } from "./tar-numbers.ts";

/** A run of bytes of a sparse file that the archive really holds. */
export interface SparsePiece {
  readonly offset: number;
  readonly length: number;
}

/** More pieces than this are refused. */
const maxPieces = 100_000;

/** Pieces must ascend, not overlap, and end within the file. */
export function checkSparse(pieces: readonly SparsePiece[], size: number, stored: number): void {
  let at = 0;
  let total = 0;
  for (const { offset, length } of pieces) {
    if (offset < at || !Number.isSafeInteger(offset + length) || offset + length > size) {
      throw new TripodError("invalid", "tar: sparse map is out of order or larger than its file");
    }
    at = offset + length;
    total += length;
  }
  if (total !== stored) throw new TripodError("invalid", "tar: sparse map does not fit the data that follows");
}

/** Adds the entries of an old GNU header or extension block; true when another extension block follows. */
export function readGnuSparse(block: Buffer, extension: boolean, pieces: SparsePiece[]): boolean {
  const [start, count, flag] = extension ? [0, 21, 504] : [386, 4, 482];
  for (let index = 0; index < count; index += 1) {
    const at = start + index * 24;
    if (block[at] === 0) break;
    pieces.push({ offset: numberField(block, at, 12), length: numberField(block, at + 12, 12) });
  }
  if (pieces.length > maxPieces) throw new TripodError("invalid", "tar: sparse map has too many pieces");
  return block[flag] === 1;
}

/** Reads the map of PAX sparse format 0.1: "offset,length,offset,length". */
export function parseSparseList(text: string): SparsePiece[] {
  const numbers = text === "" ? [] : text.split(",").map((item) => decimal(item, "sparse map"));
  return pair(numbers);
}

function pair(numbers: readonly number[]): SparsePiece[] {
  if (numbers.length % 2 !== 0 || numbers.length > 2 * maxPieces) {
    throw new TripodError("invalid", "tar: sparse map has too many pieces or an odd end");
  }
  const pieces: SparsePiece[] = [];
  for (let index = 0; index < numbers.length; index += 2) {
    pieces.push({ offset: numbers[index] ?? 0, length: numbers[index + 1] ?? 0 });
  }
  return pieces;
}

/**
 * The map of PAX sparse format 1.0, which precedes the data: decimal lines (count, then offset and length of each), padded to
 * whole blocks. Reads blocks through the caller's generator; an empty one means that the archive has ended.
 */
export function* readSparse1(): Generator<number, { pieces: SparsePiece[]; blocks: number }, Buffer> {
  const numbers: number[] = [];
  let line = "";
  for (let blocks = 1; ; blocks += 1) {
    const block = yield 512;
    if (block.length === 0) throw new TripodError("invalid", "tar: archive ends in a sparse map");
    const lines = (line + block.toString("latin1")).split("\n");
    line = lines.pop() ?? "";
    for (const text of lines) {
      numbers.push(decimal(text, "sparse map"));
      const count = numbers[0] ?? 0;
      if (count > maxPieces) throw new TripodError("invalid", "tar: sparse map has too many pieces");
      if (numbers.length === 2 * count + 1) return { pieces: pair(numbers.slice(1)), blocks };
    }
    if (line.length > 512) throw new TripodError("invalid", "tar: sparse map does not end");
  }
}
