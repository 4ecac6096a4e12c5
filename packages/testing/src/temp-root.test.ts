import assert from "node:assert/strict";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { mountTmpfs } from "@tripod/linux";
import { leakSnapshot } from "./leak-snapshot.ts";
import { tempRoot } from "./temp-root.ts";

test("a temporary root unmounts and removes what is below it, and the leak snapshot sees the difference", async () => {
  const leaks = leakSnapshot();
  const root = tempRoot();
  const inner = join(root.path, "inner");
  mkdirSync(inner);
  mountTmpfs(inner);
  assert.deepEqual(
    leaks.leaked().filter((item) => item.includes(root.path)),
    [`mount ${inner} (tmpfs)`],
  );
  await root[Symbol.asyncDispose]();
  assert.ok(!existsSync(root.path));
  assert.deepEqual(
    leaks.leaked().filter((item) => item.includes(root.path)),
    [],
  );
});
