import { randomInt } from "node:crypto";
import { test } from "node:test";
import { onFreshHost } from "@tripod/cni/testing";
import { cniRounds } from "./cni-rounds.ts";

// TRIPOD_CHAOS_SEED=N repeats a run's choices; TRIPOD_CHAOS_OPERATIONS=N is how many ADD and DEL of each kind, 1,000 unless told.
if (onFreshHost(import.meta.url)) {
  const seed = Number(process.env.TRIPOD_CHAOS_SEED ?? randomInt(1, 2 ** 31));
  const operations = Number(process.env.TRIPOD_CHAOS_OPERATIONS ?? 1000);
  for (const executables of [false, true]) {
    test(`ADD and DEL in random order with kills, ${executables ? "executables" : "in process"}`, async (t) => {
      t.diagnostic(`TRIPOD_CHAOS_SEED=${seed}`);
      t.diagnostic(JSON.stringify(await cniRounds({ seed, operations, executables })));
    });
  }
}
