import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { test } from "node:test";
import { createLogger } from "./logger.ts";

test("a changed level counts for children that were made before", async () => {
  const dir = mkdtempSync("/tmp/tripod-logger-");
  try {
    const file = join(dir, "log");
    const log = createLogger("test", { level: "warn", file });
    const child = log.child({ part: "child" });
    child.info({}, "not written");
    log.setLevel("debug");
    child.debug({}, "written");
    log.setLevel("silent");
    child.error({}, "not written either");
    let lines: string[] = [];
    // The file is made and written in the background.
    while (lines.length === 0) {
      await delay(1);
      if (!existsSync(file)) continue;
      lines = readFileSync(file, "utf8").split("\n").filter(Boolean);
    }
    assert.deepEqual(
      lines.map((line): unknown => JSON.parse(line).msg),
      ["written"],
    );
  } finally {
    rmSync(dir, { recursive: true });
  }
});
