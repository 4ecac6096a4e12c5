import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { test } from "node:test";
import { pullRounds } from "./pull-rounds.ts";

// TRIPOD_CHAOS_SEED=N repeats a run's choices; TRIPOD_CHAOS_PULLS=N is how many pulls, 100 unless told.
const seed = Number(process.env.TRIPOD_CHAOS_SEED ?? randomInt(1, 2 ** 31));
const rounds = Number(process.env.TRIPOD_CHAOS_PULLS ?? 100);

test("pulls that are killed or run out of room at any instant leave a clean store, and the next ones succeed", async (t) => {
  t.diagnostic(`TRIPOD_CHAOS_SEED=${seed}`);
  const tally = await pullRounds({ seed, rounds, files: 180, onRound: (line) => t.diagnostic(line) });
  t.diagnostic(JSON.stringify(tally));
  assert.ok(tally.killed > rounds / 10 && tally.full > rounds / 20, "kills and full disks have been met");
});
