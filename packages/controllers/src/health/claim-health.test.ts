import assert from "node:assert/strict";
import { test } from "node:test";
import { VolumeHealthErrorType } from "@tripod/api/csi";
import { healthConditions, healthText } from "./claim-health.ts";

const slow = { status: VolumeHealthErrorType.DEGRADED, reason: "SlowDisk", message: "a mirror is gone" };
const lost = { status: VolumeHealthErrorType.DATA_LOSS, reason: "BadSectors", message: "" };

test("problems come in an order of their own, and what is not known is left out", () => {
  const unknown = { status: VolumeHealthErrorType.UNKNOWN_VOLUME_HEALTH_TYPE, reason: "New", message: "" };
  const conditions = healthConditions([slow, unknown, lost]);
  assert.deepEqual(conditions, [
    { status: "DataLoss", reason: "BadSectors" },
    { status: "Degraded", reason: "SlowDisk", message: "a mirror is gone" },
  ]);
  assert.deepEqual(conditions, healthConditions([lost, slow]));
  assert.equal(healthText(conditions), "DataLoss: BadSectors; Degraded: SlowDisk: a mirror is gone");
  assert.equal(healthText(healthConditions([])), "");
});

test("a driver's endless story is cut", () => {
  const many = Array.from({ length: 100 }, (_, index) => ({ ...slow, reason: `R${index}`, message: "x".repeat(9999) }));
  assert.ok(JSON.stringify(healthConditions(many)).length < 5000);
});
