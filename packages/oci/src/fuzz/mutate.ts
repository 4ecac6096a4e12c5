import type { SeededRandom } from "@tripod/testing";

export interface MutateOptions {
  readonly random: SeededRandom;
  /** Put in whole. */
  readonly words: readonly Buffer[];
  /** Another input, of which a part may be taken over. */
  readonly other: Buffer;
}

const maxBytes = 64 * 1024;

/** Another input that is like `input`: one to four changes of bytes, parts, digits or words. */
export function mutate(input: Buffer, { random, words, other }: MutateOptions): Buffer {
  let bytes: Buffer = Buffer.from(input);
  const cut = (at: number, removed: number, put: Uint8Array = Buffer.alloc(0)): Buffer =>
    Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + removed)]);
  const part = (of: Buffer): Buffer => {
    const at = random.below(of.length + 1);
    return of.subarray(at, at + random.below(Math.min(1024, of.length - at) + 1));
  };
  for (let changes = 1 + random.below(4); changes > 0; changes -= 1) {
    const at = random.below(bytes.length + 1);
    const kind = random.below(9);
    if (kind === 0 && at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
    else if (kind === 1 && at < bytes.length) bytes[at] = random.pick([0, 0x0a, 0x20, 0x2f, 0x3d, 0x7f, 0x80, 0xff]);
    else if (kind === 2) bytes = cut(at, 1 + random.below(16));
    else if (kind === 3) bytes = cut(at, 0, part(bytes));
    else if (kind === 4) bytes = cut(at, 0, part(other));
    else if (kind === 5 && words.length > 0) bytes = cut(at, 0, random.pick(words));
    else if (kind === 6 && words.length > 0) {
      const word = random.pick(words);
      bytes = cut(at, word.length, word);
    } else if (kind === 7) {
      // A number becomes another one.
      const text = bytes.toString("latin1");
      const digits = [...text.matchAll(/\d+/g)];
      if (digits.length > 0) {
        const { index, 0: old } = random.pick(digits);
        const other = random.pick([
          "0",
          "1",
          "9".repeat(old.length),
          "7".repeat(old.length),
          String(random.below(1e6)),
        ]);
        bytes = cut(index, old.length, Buffer.from(other));
      }
    } else bytes = bytes.subarray(0, at);
  }
  return bytes.subarray(0, maxBytes);
}
