import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { criuErrors, criuProblem } from "./criu.ts";

const dir = mkdtempSync("/tmp/tripod-criu-");
after(() => rmSync(dir, { recursive: true }));

/** A program in criu's place that says and ends as one does. */
function program(script: string): string {
  const path = join(dir, "criu");
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

test("criu's problem: none installed, one that the kernel is too new for, none", async () => {
  assert.equal(await criuProblem(join(dir, "absent")), "criu is not installed");
  // What criu 3.17 says on Linux 6.18.
  const broken = program("echo 'Error (criu/vdso.c:381): vdso: Unexpected rt vDSO area bounds' >&2; exit 1");
  const why = "criu does not work on this kernel: Error (criu/vdso.c:381): vdso: Unexpected rt vDSO area bounds";
  assert.equal(await criuProblem(broken), why);
  assert.equal(await criuProblem(program("exit 3")), "criu does not work on this kernel: criu check ended with 3");
  assert.equal(await criuProblem(program("echo Looks good.")), undefined);
});

test("the errors are picked out of criu's log, and none out of none", () => {
  assert.equal(criuErrors(dir, "dump.log"), "");
  const log = "(00.01) Freezing\n(00.12) Error (criu/cr-dump.c:1): no\n(00.13) Error (criu/cr-dump.c:2): gone\n";
  writeFileSync(join(dir, "dump.log"), log);
  assert.equal(criuErrors(dir, "dump.log"), "Error (criu/cr-dump.c:1): no; Error (criu/cr-dump.c:2): gone");
});
