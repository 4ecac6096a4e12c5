import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { rotateLog } from "./log-rotation.ts";

let dir: string;
before(() => {
  dir = mkdtempSync("/tmp/tripod-rotate-");
});
after(() => rmSync(dir, { recursive: true }));

test("a log that is too big is put aside, and the oldest pieces go", async () => {
  const path = join(dir, "0.log");
  const options = { maxBytes: 4, maxFiles: 3, reopen: async () => writeFileSync(path, "") };
  for (let second = 1; second <= 4; second += 1) {
    writeFileSync(path, `line ${second}`);
    await rotateLog(path, { ...options, nowMs: Date.parse(`2026-01-01T00:00:0${second}Z`) });
  }
  assert.deepEqual(readdirSync(dir), ["0.log", "0.log.20260101-000003", "0.log.20260101-000004"]);
  assert.equal(readFileSync(`${path}.20260101-000004`, "utf8"), "line 4");
  writeFileSync(path, "ok");
  await rotateLog(path, { ...options, nowMs: 0 });
  assert.equal(readFileSync(path, "utf8"), "ok");
});

test("a crash between putting aside and beginning anew is mended", async () => {
  const path = join(dir, "1.log");
  writeFileSync(`${path}.20260101-000001`, "old");
  let reopened = 0;
  const reopen = async (): Promise<void> => void (reopened += 1);
  await rotateLog(path, { maxBytes: 4, maxFiles: 3, reopen, nowMs: 0 });
  assert.equal(reopened, 1);
  await rotateLog(join(dir, "never.log"), { maxBytes: 4, maxFiles: 3, reopen, nowMs: 0 });
  assert.equal(reopened, 1);
});
