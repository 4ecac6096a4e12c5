import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { refuseCheckpoint } from "./checkpoint.ts";

const dir = mkdtempSync("/tmp/tripod-criu-");
after(() => rmSync(dir, { recursive: true }));

/** A program in criu's place that says and ends as one does. */
function program(script: string): string {
  const path = join(dir, "criu");
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

test("a checkpoint is refused with the reason: no criu, one that the kernel is too new for, one that works", async () => {
  await assert.rejects(refuseCheckpoint("checkpoint c1", join(dir, "absent")), {
    code: "failed-precondition",
    message: "checkpoint c1: criu is not installed",
  });
  // What criu 3.17 says on Linux 6.18.
  const broken = program("echo 'Error (criu/vdso.c:381): vdso: Unexpected rt vDSO area bounds' >&2; exit 1");
  await assert.rejects(refuseCheckpoint("checkpoint c1", broken), {
    code: "failed-precondition",
    message: /criu does not work on this kernel: Error \(criu\/vdso\.c:381\): vdso: Unexpected rt vDSO area bounds/,
  });
  await assert.rejects(refuseCheckpoint("checkpoint c1", program("echo Looks good.")), { code: "unimplemented" });
});
