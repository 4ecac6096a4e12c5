import { closeSync, openSync, readSync } from "node:fs";
import { sha256, sha512 } from "@noble/hashes/sha2.js";

// What the plugins need of node:crypto. Loading that takes 5 ms, which is a good part of what a plugin's executable takes in all: in
// the program behind the executables this file stands in its place. It makes names and comments; nothing secret depends on it.

const algorithms = { sha256, sha512 } as const;

/** As node:crypto's, for a text at once. */
export function createHash(algorithm: keyof typeof algorithms): {
  update(text: string): { digest(encoding: "hex"): string };
} {
  return {
    update: (text) => ({
      digest: (encoding) => Buffer.from(algorithms[algorithm](Buffer.from(text))).toString(encoding),
    }),
  };
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
