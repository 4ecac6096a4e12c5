import assert from "node:assert/strict";
import { test } from "node:test";
import { buildRlimits, parseRlimits } from "./rlimits.ts";

const own = [
  "Limit                     Soft Limit           Hard Limit           Units     ",
  "Max processes             100                  200                  processes ",
  "Max open files            20000                20000                files     ",
  "Max locked memory         8388608              unlimited            bytes     ",
].join("\n");
const have = { sysResource: true, own, maxOpenFiles: 1_048_576 };

test("limits by any spelling of their names, unlimited as far as the kernel goes", () => {
  const limits = buildRlimits({ nofile: { soft: 10, hard: "unlimited" }, RLIMIT_CORE: { soft: 0, hard: 0 } }, have);
  assert.deepEqual(limits, [
    { type: "RLIMIT_NOFILE", soft: 10, hard: 1_048_576 },
    { type: "RLIMIT_CORE", soft: 0, hard: 0 },
  ]);
});

test("without CAP_SYS_RESOURCE no limit is raised above the daemon's own", () => {
  const request = { NOFILE: { soft: 30_000, hard: 50_000 }, memlock: { soft: 1, hard: "unlimited" } } as const;
  const [files, memory] = buildRlimits(request, { ...have, sysResource: false });
  assert.deepEqual(files, { type: "RLIMIT_NOFILE", soft: 20_000, hard: 20_000 });
  assert.equal(memory?.hard, Number.MAX_SAFE_INTEGER);
});

test("wrong limits are refused", () => {
  assert.throws(() => buildRlimits({ files: { soft: 1, hard: 1 } }, have), /"files" is no limit/);
  assert.throws(() => buildRlimits({ core: { soft: 2, hard: 1 } }, have), /soft limit 2 is above/);
  assert.throws(() => buildRlimits({ core: { soft: -1, hard: 1 } }, have), /neither a whole number/);
  const twice = { core: { soft: 1, hard: 1 }, RLIMIT_CORE: { soft: 1, hard: 1 } };
  assert.throws(() => buildRlimits(twice, have), /there twice/);
  assert.throws(() => parseRlimits("nofile"), /NAME=SOFT/);
  assert.throws(() => parseRlimits("nofile=1:2:3"), /NAME=SOFT/);
  assert.throws(() => parseRlimits("core=1,".repeat(1000)), /longer/);
  assert.throws(() => parseRlimits("none=1"), /no limit of Linux/);
});

test("the annotation's form: one number for both, or two", () => {
  assert.deepEqual(parseRlimits("nofile=1024:4096, memlock=unlimited"), {
    RLIMIT_NOFILE: { soft: 1024, hard: 4096 },
    RLIMIT_MEMLOCK: { soft: "unlimited", hard: "unlimited" },
  });
});
