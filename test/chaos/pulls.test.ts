import assert from "node:assert/strict";
import { test } from "node:test";
import { pullRounds } from "./pull-rounds.ts";

test("six pulls that are killed or run out of room leave a clean store, and the next ones succeed", async () => {
  const tally = await pullRounds({ seed: 3, rounds: 6, files: 20 });
  assert.equal(tally.killed + tally.full + tally.undisturbed, 6);
});
