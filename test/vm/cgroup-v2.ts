import assert from "node:assert/strict";
import { test } from "node:test";
import { join } from "node:path";
import { noVm, runInVm, type VmTest } from "@tripod/testing";

// Run by hand (npm run vm), not by npm test: in three of nine runs a file's process ended in the emulator before it told of a single test.
const cri = ["packages/cri/src/stats/stats.test.ts"];

/** The machine on which `npm test` runs may have cgroup v1 and no systemd; this one has a kernel of its own, v2 alone, and systemd. */
const runs = [
  {
    name: "cgroup v2, cgroupfs",
    files: ["packages/linux/src/cgroups/cgroups.test.ts", ...cri],
  },
  {
    name: "cgroup v2, systemd",
    files: ["packages/cri/src/runtime/cgroup-driver.test.ts", ...cri],
    env: { TRIPOD_TEST_CGROUP_DRIVER: "systemd" },
  },
];

/** Emulation is 10 to 20 times slower than the machine itself, and other tests run beside it. */
const timeoutMs = 1_500_000;

test("what depends on cgroup v2 and systemd, in a virtual machine", { timeout: 2 * timeoutMs }, async (t) => {
  const missing = noVm();
  if (missing !== undefined) return t.skip(missing);
  const top = join(import.meta.dirname, "../..");
  const first = await runInVm({ top, runs, timeoutMs });
  // A file whose process ended before it told of a single test is run again, and what it said is told. What is wrong with the file itself
  // comes again.
  const isCrash = ({ name, file }: VmTest): boolean => name === file;
  const crashed = first.tests.filter(isCrash);
  for (const { run, file, why } of crashed)
    t.diagnostic(`${run}: ${file} ended without a test, and is run again: ${why}`);
  const again = runs
    .map((run) => ({
      ...run,
      files: run.files.filter((file) => crashed.some((each) => each.run === run.name && each.file === file)),
    }))
    .filter(({ files }) => files.length > 0);
  const second = again.length === 0 ? [] : (await runInVm({ top, runs: again, timeoutMs })).tests;
  const tests = [...first.tests.filter((each) => !isCrash(each)), ...second];
  const { about, bootMs, totalMs } = first;
  const seconds = (ms: number): string => (ms / 1000).toFixed(1);
  t.diagnostic(`${about}: booted in ${seconds(bootMs)} s, over after ${seconds(totalMs)} s`);
  assert.match(about, /cgroup cgroup2fs, init systemd/);
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
