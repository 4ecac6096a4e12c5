import assert from "node:assert/strict";
import { test } from "node:test";
import { join } from "node:path";
import { noVm, runInVm, type VmRun } from "@tripod/testing";

export interface TestsInVm {
  readonly runs: readonly VmRun[];
  /** Debian packages of the guest beside Tripod's own. */
  readonly packages?: readonly string[];
  /** Parameters of its kernel beside the usual ones. */
  readonly kernel?: readonly string[];
  /** What the guest is to say of itself. */
  readonly about: RegExp;
}

/** Emulation is 10 to 20 times slower than the machine itself, and other tests run beside it. */
const timeoutMs = 1_500_000;

/** Registers a test that runs test files in a virtual machine and has a test of its own for each of theirs. */
export function testsInVm(name: string, { runs, about: wanted, ...options }: TestsInVm): void {
  test(name, { timeout: 2 * timeoutMs }, async (t) => {
    const missing = noVm();
    if (missing !== undefined) return t.skip(missing);
    const { tests, about, bootMs, totalMs } = await runInVm({
      top: join(import.meta.dirname, "../.."),
      runs,
      timeoutMs,
      ...options,
    });
    const seconds = (ms: number): string => (ms / 1000).toFixed(1);
    t.diagnostic(`${about}: booted in ${seconds(bootMs)} s, over after ${seconds(totalMs)} s`);
    assert.match(about, wanted);
    for (const { name: run, files } of runs) {
      for (const file of files) {
        const own = tests.filter((each) => each.run === run && each.file === file);
        assert.ok(own.length > 0, `${run}: ${file} has told nothing`);
        t.diagnostic(
          `${run}: ${file}: ${own.filter(({ outcome }) => outcome === "passed").length} of ${own.length} passed`,
        );
      }
    }
    for (const { run, file, name, outcome, durationMs, why } of tests) {
      await t.test(`${run}: ${file}: ${name} (${durationMs} ms)`, (t) => {
        if (outcome === "skipped") t.skip(why);
        if (outcome === "failed") throw new Error(why);
      });
    }
  });
}
