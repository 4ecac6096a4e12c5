import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { buildGoProgram, goProgram } from "./go-program.ts";

test("a program that nobody has built is skipped with the way to build it", () => {
  const found = goProgram({ module: "example.test/none", version: "v9.9.9", command: "cmd/none" });
  assert.match("skip" in found ? found.skip : found.path, /^none-v9\.9\.9 is not built \(npm run check .*not tried$/);
});

test("a machine without Go gets that as the reason", async () => {
  const { PATH } = process.env;
  process.env.PATH = "/nonexistent";
  try {
    const built = await buildGoProgram({ module: "example.test/none", version: "v9.9.8", command: "cmd/none" });
    assert.match("skip" in built ? built.skip : built.path, /: this machine has no Go$/);
  } finally {
    process.env.PATH = PATH;
    rmSync(join(import.meta.dirname, "../../../.cache/go/none-v9.9.8.why"));
  }
});
