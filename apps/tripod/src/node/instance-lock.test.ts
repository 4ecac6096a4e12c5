import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { after, test } from "node:test";
import { isTripodError, layoutOf } from "@tripod/base";
import { lockInstance, runningDaemon } from "./instance-lock.ts";

const dir = mkdtempSync("/tmp/tripod-lock-");
after(() => rmSync(dir, { recursive: true }));

test("one daemon a layout: the second is told the first one's process", () => {
  const layout = layoutOf(dir);
  for (const folder of [layout.runDir, layout.libDir]) mkdirSync(folder, { recursive: true });
  assert.equal(runningDaemon(layout), undefined);
  {
    using _lock = lockInstance(layout);
    assert.equal(runningDaemon(layout), process.pid);
    assert.throws(
      () => lockInstance(layout),
      (error) => isTripodError(error, "already-exists") && error.message.includes(String(process.pid)),
    );
  }
  assert.equal(runningDaemon(layout), undefined);
  using _again = lockInstance(layout);
});
