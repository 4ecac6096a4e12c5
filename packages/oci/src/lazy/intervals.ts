import type { ByteRange } from "../registry/fetch-range.ts";

/** A set of byte ranges; those that touch become one. */
export class Intervals {
  /** Ascending, apart from one another. */
  #ranges: ByteRange[] = [];

  add({ start, end }: ByteRange): void {
    const before = this.#ranges.filter((range) => range.end < start);
    const after = this.#ranges.filter((range) => range.start > end);
    const joined = this.#ranges.slice(before.length, this.#ranges.length - after.length);
    const low = Math.min(start, ...joined.map((range) => range.start));
    const high = Math.max(end, ...joined.map((range) => range.end));
    this.#ranges = [...before, { start: low, end: high }, ...after];
  }

  covers({ start, end }: ByteRange): boolean {
    return this.#ranges.some((range) => range.start <= start && range.end >= end);
  }
}
