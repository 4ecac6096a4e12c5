import assert from "node:assert/strict";
import { test } from "node:test";
import { planRotation } from "./log-limit.ts";

test("files move up by one, the oldest first, which goes away", () => {
  assert.deepEqual(planRotation("/l", 3), [{ from: "/l.2" }, { from: "/l.1", to: "/l.2" }, { from: "/l", to: "/l.1" }]);
  assert.deepEqual(planRotation("/l", 1), [{ from: "/l" }]);
});
