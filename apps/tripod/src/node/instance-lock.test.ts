import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { after, test } from "node:test";
import { isTripodError, layoutOf } from "@tripod/base";
import { lockInstance, runningDaemon } from "./instance-lock.ts";

const dir = mkdtempSync("/tmp/tripod-lock-");
after(() => rmSync(dir, { recursive: true }));

test("one daemon a layout: the second is told the first one's process", async () => {
  const layout = layoutOf(dir);
  mkdirSync(layout.runDir, { recursive: true });
  assert.equal(await runningDaemon(layout), undefined);
  {
    using _lock = await lockInstance(layout);
    assert.equal(await runningDaemon(layout), process.pid);
    await assert.rejects(
      lockInstance(layout),
      (error) => isTripodError(error, "already-exists") && error.message.includes(String(process.pid)),
    );
  }
  assert.equal(await runningDaemon(layout), undefined);
  using _again = await lockInstance(layout);
});
