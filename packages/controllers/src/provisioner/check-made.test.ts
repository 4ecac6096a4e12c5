import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { VolumeSchema } from "@tripod/api/csi";
import type { PersistentVolume } from "@tripod/api/kubernetes";
import { wrongVolume } from "./check-made.ts";
import type { ProvisionPlan } from "./plan-provision.ts";

const driver = "d.example.com";
const capacityRange = { requiredBytes: 100n, limitBytes: 200n };
const plan: Pick<ProvisionPlan, "name" | "request"> = { name: "pvc-1", request: { capacityRange } };
const volumeOf = (name: string, volumeHandle: string): PersistentVolume => ({
  metadata: { name },
  spec: { csi: { driver, volumeHandle } },
});
const big = "x".repeat(70_000);

const rows: { why: string; made: object; wrong: "useless" | "foreign" | undefined; hasSource?: boolean }[] = [
  { why: "what was asked for", made: { capacityBytes: 150n }, wrong: undefined },
  { why: "a driver that does not tell sizes", made: { capacityBytes: 0n }, wrong: undefined },
  { why: "a volume that is saved already, asked for again", made: { volumeId: "own" }, wrong: undefined },
  { why: "too small", made: { capacityBytes: 99n }, wrong: "useless" },
  { why: "above the limit", made: { capacityBytes: 201n }, wrong: "useless" },
  { why: "a negative size", made: { capacityBytes: -1n }, wrong: "useless" },
  { why: "no data source", made: {}, hasSource: true, wrong: "useless" },
  { why: "a context of 70 KB", made: { volumeContext: { key: big } }, wrong: "useless" },
  { why: "a topology of 70 KB", made: { accessibleTopology: [{ segments: { key: big } }] }, wrong: "useless" },
  { why: "another volume's id", made: { volumeId: "other" }, wrong: "foreign" },
  { why: "no id", made: { volumeId: "" }, wrong: "foreign" },
  { why: "an id of 70 KB", made: { volumeId: big }, wrong: "foreign" },
];
for (const { why, made, wrong, hasSource = false } of rows)
  test(`a driver's answer with ${why} is ${wrong ?? "fine"}`, () => {
    const volume = create(VolumeSchema, { volumeId: "new", ...made });
    const volumes = [volumeOf("pvc-1", "own"), volumeOf("pvc-2", "other")];
    // Of a plan only these are looked at.
    assert.equal(wrongVolume(volume, { plan: plan as ProvisionPlan, driver, hasSource }, volumes)?.kind, wrong);
  });
