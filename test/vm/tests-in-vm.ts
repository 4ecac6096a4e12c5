import assert from "node:assert/strict";
import { test } from "node:test";
import { join } from "node:path";
import { noVm, runInVm, type VmRun, type VmTest } from "@tripod/testing";

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
const mostAgain = 3;

/**
 * Registers a test that runs test files in a virtual machine and has a test of its own for each of theirs. A file whose process ended in the
 * emulator before it told of a single test is run again, three times at most, and what it said is told: what is wrong with the file itself
 * comes again each time.
 */
export function testsInVm(name: string, { runs, packages = [], kernel = [], about: wanted }: TestsInVm): void {
  test(name, { timeout: (1 + mostAgain) * timeoutMs }, async (t) => {
    const missing = noVm();
    if (missing !== undefined) return t.skip(missing);
    const top = join(import.meta.dirname, "../..");
    const first = await runInVm({ top, runs, packages, kernel, timeoutMs });
    const isCrash = ({ name, file }: VmTest): boolean => name === file;
    let tests = first.tests;
    for (let again = 0; again < mostAgain && tests.some(isCrash); again += 1) {
      const crashed = tests.filter(isCrash);
      for (const { run, file, why } of crashed)
        t.diagnostic(`${run}: ${file} ended without a test, and is run again: ${why}`);
      const rerun = runs
        .map((run) => ({
          ...run,
          files: run.files.filter((file) => crashed.some((each) => each.run === run.name && each.file === file)),
        }))
        .filter(({ files }) => files.length > 0);
      const { tests: more } = await runInVm({ top, runs: rerun, packages, kernel, timeoutMs });
      tests = [...tests.filter((each) => !isCrash(each)), ...more];
    }
    const { about, bootMs, totalMs } = first;
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
