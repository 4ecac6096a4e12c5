import assert from "node:assert/strict";
import { test } from "node:test";
import { restoreSizeOf, takenAtNs } from "./csi-snapshots.ts";

test("the time of a snapshot is what its driver says, or now where that can be none", () => {
  assert.equal(takenAtNs({ creationTime: { seconds: 1_700_000_000n, nanos: 5 } }), 1_700_000_000 * 1e9 + 5);
  for (const seconds of [2n ** 62n, -1n, 0n])
    assert.ok(Math.abs(takenAtNs({ creationTime: { seconds, nanos: 0 } }) - Date.now() * 1e6) < 60e9, `${seconds}`);
});

test("the size of a snapshot is what its driver says, and nothing where no number holds that", () => {
  assert.deepEqual(restoreSizeOf({ sizeBytes: 1024n }), { restoreSize: 1024 });
  for (const sizeBytes of [0n, -1n, 2n ** 63n - 1n]) assert.deepEqual(restoreSizeOf({ sizeBytes }), {});
});
