import { closeSync, openSync, readSync } from "node:fs";

// What the plugins need of node:crypto. Loading that takes 5 ms, which is a good part of what a plugin's executable takes in all: in
// the program behind the executables this file stands in its place. It makes names and comments; nothing secret depends on it.

/** In what SHA-256 and SHA-512 (FIPS 180-4) differ: the width of a word, the rounds, and how far Σ0, Σ1, σ0 and σ1 rotate. */
interface Variant {
  readonly bits: number;
  readonly rounds: number;
  /** The last of the latter two shifts. */
  readonly rotations: readonly [Three, Three, Three, Three];
}
type Three = readonly [bigint, bigint, bigint];

// biome-ignore format: a row each
const variants = {
  sha256: { bits: 32, rounds: 64, rotations: [[2n, 13n, 22n], [6n, 11n, 25n], [7n, 18n, 3n], [17n, 19n, 10n]] },
  sha512: { bits: 64, rounds: 80, rotations: [[28n, 34n, 39n], [14n, 18n, 41n], [1n, 8n, 7n], [19n, 61n, 6n]] },
} as const satisfies Record<string, Variant>;

const words = (text: string, bits: number): readonly bigint[] =>
  (text.match(/\S+/g) ?? []).map((word) => BigInt(`0x${word.slice(0, bits / 4)}`));

/** The constant of each round: the first 64 bits behind the point of the cube roots of primes. SHA-256 takes 32 of them. */
const roundConstants = `
  428a2f98d728ae22 7137449123ef65cd b5c0fbcfec4d3b2f e9b5dba58189dbbc 3956c25bf348b538 59f111f1b605d019 923f82a4af194f9b
  ab1c5ed5da6d8118 d807aa98a3030242 12835b0145706fbe 243185be4ee4b28c 550c7dc3d5ffb4e2 72be5d74f27b896f 80deb1fe3b1696b1
  9bdc06a725c71235 c19bf174cf692694 e49b69c19ef14ad2 efbe4786384f25e3 0fc19dc68b8cd5b5 240ca1cc77ac9c65 2de92c6f592b0275
  4a7484aa6ea6e483 5cb0a9dcbd41fbd4 76f988da831153b5 983e5152ee66dfab a831c66d2db43210 b00327c898fb213f bf597fc7beef0ee4
  c6e00bf33da88fc2 d5a79147930aa725 06ca6351e003826f 142929670a0e6e70 27b70a8546d22ffc 2e1b21385c26c926 4d2c6dfc5ac42aed
  53380d139d95b3df 650a73548baf63de 766a0abb3c77b2a8 81c2c92e47edaee6 92722c851482353b a2bfe8a14cf10364 a81a664bbc423001
  c24b8b70d0f89791 c76c51a30654be30 d192e819d6ef5218 d69906245565a910 f40e35855771202a 106aa07032bbd1b8 19a4c116b8d2d0c8
  1e376c085141ab53 2748774cdf8eeb99 34b0bcb5e19b48a8 391c0cb3c5c95a63 4ed8aa4ae3418acb 5b9cca4f7763e373 682e6ff3d6b2b8a3
  748f82ee5defb2fc 78a5636f43172f60 84c87814a1f0ab72 8cc702081a6439ec 90befffa23631e28 a4506cebde82bde9 bef9a3f7b2c67915
  c67178f2e372532b ca273eceea26619c d186b8c721c0c207 eada7dd6cde0eb1e f57d4f7fee6ed178 06f067aa72176fba 0a637dc5a2c898a6
  113f9804bef90dae 1b710b35131c471b 28db77f523047d84 32caab7b40c72493 3c9ebe0a15c9bebc 431d67c49c100d4c 4cc5d4becb3e42b6
  597f299cfc657e2a 5fcb6fab3ad6faec 6c44198c4a475817`;

/** What a hash begins with: as above, of square roots. */
const start = `
  6a09e667f3bcc908 bb67ae8584caa73b 3c6ef372fe94f82b a54ff53a5f1d36f1 510e527fade682d1 9b05688c2b3e6c1f 1f83d9abfb41bd6b
  5be0cd19137e2179`;

function sha2({ bits, rounds, rotations: [s0, s1, w0, w1] }: Variant, data: Uint8Array): string {
  const wordBytes = bits / 8;
  const blockBytes = 16 * wordBytes;
  const padded = Buffer.alloc(Math.ceil((data.length + 1 + 2 * wordBytes) / blockBytes) * blockBytes);
  padded.set(data);
  padded[data.length] = 0x80;
  padded.writeUInt32BE(data.length * 8, padded.length - 4);
  const cut = (value: bigint): bigint => BigInt.asUintN(bits, value);
  const rotate = (word: bigint, by: bigint): bigint => (word >> by) | (word << (BigInt(bits) - by));
  const mix = (word: bigint, [a, b, c]: Three): bigint => cut(rotate(word, a) ^ rotate(word, b) ^ rotate(word, c));
  const spread = (word: bigint, [a, b, c]: Three): bigint => cut(rotate(word, a) ^ rotate(word, b) ^ (word >> c));
  const constants = words(roundConstants, bits);
  let state = words(start, bits);
  for (let offset = 0; offset < padded.length; offset += blockBytes) {
    const w: bigint[] = [];
    const word = (index: number): bigint => w[index] ?? 0n;
    let [a = 0n, b = 0n, c = 0n, d = 0n, e = 0n, f = 0n, g = 0n, h = 0n] = state;
    for (let round = 0; round < rounds; round += 1) {
      const at = offset + round * wordBytes;
      if (round >= 16)
        w.push(cut(word(round - 16) + spread(word(round - 15), w0) + word(round - 7) + spread(word(round - 2), w1)));
      else w.push(bits === 32 ? BigInt(padded.readUInt32BE(at)) : padded.readBigUInt64BE(at));
      const one = h + mix(e, s1) + ((e & f) ^ (~e & g)) + (constants[round] ?? 0n) + word(round);
      const two = mix(a, s0) + ((a & b) ^ (a & c) ^ (b & c));
      [a, b, c, d, e, f, g, h] = [cut(one + two), a, b, c, cut(d + one), e, f, g];
    }
    state = [a, b, c, d, e, f, g, h].map((value, index) => cut(value + (state[index] ?? 0n)));
  }
  return state.map((value) => value.toString(16).padStart(wordBytes * 2, "0")).join("");
}

/** As node:crypto's, for a text at once. */
export function createHash(algorithm: keyof typeof variants): {
  update(text: string): { digest(encoding: "hex"): string };
} {
  return { update: (text) => ({ digest: () => sha2(variants[algorithm], Buffer.from(text)) }) };
}

/** As node:crypto's. */
export function randomBytes(count: number): Buffer {
  const file = openSync("/dev/urandom", "r");
  try {
    const bytes = Buffer.alloc(count);
    for (let offset = 0; offset < count; ) offset += readSync(file, bytes, offset, count - offset, null);
    return bytes;
  } finally {
    closeSync(file);
  }
}
