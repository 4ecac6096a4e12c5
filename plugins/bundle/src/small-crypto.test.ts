import assert from "node:assert/strict";
import * as crypto from "node:crypto";
import { test } from "node:test";
import { createHash, randomBytes } from "./small-crypto.ts";

test("SHA-256 and SHA-512 of texts of every length up to three blocks are those of node:crypto", () => {
  for (const algorithm of ["sha256", "sha512"] as const) {
    for (let length = 0; length <= 384; length += 1) {
      const text = "vethé\0".repeat(64).slice(0, length);
      const expected = crypto.createHash(algorithm).update(text).digest("hex");
      assert.equal(createHash(algorithm).update(text).digest("hex"), expected, `${algorithm} of ${length} characters`);
    }
  }
});

test("random bytes are as many as asked for, and others each time", () => {
  assert.equal(randomBytes(6).length, 6);
  assert.notDeepEqual(randomBytes(16), randomBytes(16));
});
