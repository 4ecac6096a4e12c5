import assert from "node:assert/strict";
import { test } from "node:test";
import { ClaimMemories, ClaimMemory } from "./claim-memory.ts";

test("a refused target waits, any other does not", () => {
  const memory = new ClaimMemory();
  assert.equal(memory.waitMs("gold"), 0);
  memory.refuse("gold", 60_000);
  assert.ok(memory.waitMs("gold") > 59_000);
  assert.equal(memory.waitMs("silver"), 0);
  memory.refuse("gold", -1);
  assert.equal(memory.waitMs("gold"), 0);
});

test("tries that somebody else refuses come less and less often", () => {
  const { backoff } = new ClaimMemory();
  assert.deepEqual([backoff.next(), backoff.next(), backoff.next()], [1000, 2000, 4000]);
});

test("a claim that is made again under its name is another one", () => {
  const claim = (uid: string) => ({
    metadata: { name: "c", uid, resourceVersion: "1", creationTimestamp: "2024-01-01T00:00:00Z" },
    spec: {},
  });
  const memories = new ClaimMemories();
  memories.of(claim("a")).hasFailed = true;
  assert.ok(memories.of(claim("a")).hasFailed);
  assert.ok(!memories.of(claim("b")).hasFailed);
  memories.forget(claim("a"));
  assert.ok(!memories.of(claim("a")).hasFailed);
});
