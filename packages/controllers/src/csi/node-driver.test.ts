import assert from "node:assert/strict";
import { test } from "node:test";
import type { CSINode } from "@tripod/api/kubernetes";
import { nodeDriver } from "./node-driver.ts";

for (const text of ['{"spec":{}}', '{"spec":{"drivers":null}}', '{"spec":{"drivers":[]}}'])
  test(`no driver is found where none has registered: ${text}`, () => {
    // As it comes from an API server: the type says what upstream promises and does not hold.
    assert.equal(nodeDriver(JSON.parse(text) as CSINode, "d"), undefined);
  });

test("a driver is found by its name", () => {
  const drivers = ["c", "d"].map((name) => ({ name, nodeID: `${name}1` }));
  assert.equal(nodeDriver({ metadata: {}, spec: { drivers } }, "d")?.nodeID, "d1");
  assert.equal(nodeDriver(undefined, "d"), undefined);
});
