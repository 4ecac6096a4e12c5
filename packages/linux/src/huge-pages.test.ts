import assert from "node:assert/strict";
import { mkdtempSync, rmdirSync, statfsSync } from "node:fs";
import { test } from "node:test";
import { hugePageName, hugePagePools, mountHugePages } from "./huge-pages.ts";
import { unmount } from "./mounts/unmount.ts";

const pools = hugePagePools();
const skip = pools.length === 0 ? "this kernel has no huge pages" : false;

test("huge pages are named as cgroup files name them", () => {
  assert.deepEqual([64 * 1024, 2 * 1024 ** 2, 1024 ** 3].map(hugePageName), ["64KB", "2MB", "1GB"]);
});

test("a file system of huge pages has blocks of their size", { skip }, () => {
  const target = mkdtempSync("/tmp/tripod-huge-");
  try {
    for (const { pageBytes } of pools) {
      mountHugePages(target, { pageBytes });
      assert.equal(statfsSync(target).bsize, pageBytes);
      unmount(target);
    }
  } finally {
    rmdirSync(target);
  }
});
