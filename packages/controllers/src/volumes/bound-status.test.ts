import assert from "node:assert/strict";
import { test } from "node:test";
import type { PersistentVolume, PersistentVolumeClaim } from "@tripod/api/kubernetes";
import { preResizeCapacity } from "@tripod/csi/expansion";
import { boundStatus } from "./bound-status.ts";

const volume = (annotations: Record<string, string> = {}): PersistentVolume => ({
  metadata: { name: "v", annotations },
  spec: { capacity: { storage: "2Gi" }, accessModes: ["ReadWriteOnce"], volumeAttributesClassName: "gold" },
});
const claim = (status: PersistentVolumeClaim["status"]): PersistentVolumeClaim => ({
  metadata: { name: "c" },
  spec: {},
  ...(status === undefined ? {} : { status }),
});

test("a claim that becomes bound takes over what the volume is", () => {
  assert.deepEqual(boundStatus(claim({ phase: "Pending" }), volume()), {
    phase: "Bound",
    accessModes: ["ReadWriteOnce"],
    capacity: { storage: "2Gi" },
    currentVolumeAttributesClassName: "gold",
  });
});

test("of a volume whose file system has not grown yet it takes the old size", () => {
  const status = boundStatus(claim({ phase: "Lost" }), volume({ [preResizeCapacity]: "1Gi" }));
  assert.deepEqual(status?.capacity, { storage: "1Gi" });
});

test("a bound claim keeps its size when the volume grows", () => {
  const status = { phase: "Bound" as const, accessModes: ["ReadWriteOnce" as const], capacity: { storage: "1Gi" } };
  assert.equal(boundStatus(claim(status), volume()), undefined);
  assert.deepEqual(boundStatus(claim({ ...status, accessModes: [] }), volume()), { accessModes: ["ReadWriteOnce"] });
});
