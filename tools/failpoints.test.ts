import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { unarmedFailpoints } from "./failpoints.ts";

test("a failpoint is armed by its name, or by the two halves that a test makes it of; others are told", () => {
  const top = mkdtempSync("/tmp/tripod-failpoints-");
  try {
    const source = join(top, "packages/a/src");
    mkdirSync(source, { recursive: true });
    const passes = ["a.whole", "a.nth", "a.step.half", "a.forgotten", "b.${kind}.made", "b.${kind}.lost"];
    writeFileSync(join(source, "a.ts"), passes.map((name) => `failpoint(\`${name}\`);`).join("\n"));
    const armed =
      'arm("a.whole"); arm("a.nth@2"); for (const step of ["half"]) arm(`a.step.${step}`); arm("b.net.made");';
    writeFileSync(join(source, "a.test.ts"), armed);
    const file = "packages/a/src/a.ts";
    assert.deepEqual(unarmedFailpoints(top), [
      `${file}: no test kills a process at a.forgotten`,
      `${file}: no test kills a process at b.\${kind}.lost`,
    ]);
  } finally {
    rmSync(top, { recursive: true });
  }
});
