import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { tempRoot } from "@tripod/testing";
import { WorkerPool } from "./worker-pool.ts";

test("a pool that is closed while its threads start, or work, ends them and not the process; its jobs are done or cancelled", async () => {
  await using root = tempRoot();
  for (let folder = 0; folder < 100; folder += 1) {
    mkdirSync(join(root.path, String(folder)));
    writeFileSync(join(root.path, `${folder}/file`), "x");
  }
  // So many turns of the event loop pass before it is closed: threads are then in every stage of loading.
  for (const turns of [0, 1000, 10_000, 40_000]) {
    const pool = new WorkerPool({ size: 2, idleMs: 10_000 });
    const jobs = Promise.allSettled([1, 2, 3].map(() => pool.compare(root.path, root.path)));
    for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    await pool[Symbol.asyncDispose]();
    for (const job of await jobs)
      if (job.status === "fulfilled") assert.deepEqual(job.value, []);
      else assert.equal(job.reason.code, "cancelled");
    await assert.rejects(pool.measure(root.path), { code: "cancelled" });
  }
});
