import assert from "node:assert/strict";
import { test } from "node:test";
import { onFreshHost } from "@tripod/cni/testing";
import { cniRounds } from "./cni-rounds.ts";

if (onFreshHost(import.meta.url)) {
  for (const [how, executables, operations] of [
    ["in the process that is killed", false, 120],
    ["as executables", true, 24],
  ] as const) {
    test(`${operations} ADD and DEL, plugins ${how}, give no address twice and leave nothing`, async () => {
      const tally = await cniRounds({ seed: 5, operations, executables });
      assert.ok(tally.operations >= operations && tally.cutOff > 0, JSON.stringify(tally));
    });
  }
}
