import assert from "node:assert/strict";
import { test } from "node:test";
import type { PersistentVolume, PersistentVolumeClaim, Stored } from "@tripod/api/kubernetes";
import { VolumePool } from "./volume-pool.ts";

function volume(
  name: string,
  storage: string,
  spec: Partial<PersistentVolume["spec"]> = {},
  phase: "Available" | "Released" = "Available",
): Stored<PersistentVolume> {
  const stored = { uid: name, resourceVersion: "1", creationTimestamp: "2024-01-01T00:00:00Z" };
  return {
    metadata: { name, ...stored },
    spec: { capacity: { storage }, accessModes: ["ReadWriteOnce"], ...spec },
    status: { phase },
  };
}
const claim = (storage: string, spec: Partial<PersistentVolumeClaim["spec"]> = {}): PersistentVolumeClaim => ({
  metadata: { name: "c", namespace: "a", uid: "u" },
  spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage } }, ...spec },
});
const names = (volumes: Iterable<Stored<PersistentVolume>>) => [...volumes].map(({ metadata }) => metadata.name);

test("free volumes come by size in whatever unit, then by name, none too small", () => {
  const pool = VolumePool.of([
    volume("d", "2Gi"),
    volume("c", "1Gi"),
    volume("b", "1024Mi"),
    volume("a", "1G"),
    volume("e", "1Mi"),
  ]);
  assert.deepEqual(names(pool.freeFor(claim("1G"))), ["a", "b", "c", "d"]);
  assert.deepEqual(names(pool.freeFor(claim("1Gi"))), ["b", "c", "d"]);
});

test("a volume that changes is found as it is now", () => {
  const pool = VolumePool.of([volume("a", "1Gi"), volume("b", "1Gi")]);
  pool.put(volume("a", "3Gi"));
  assert.deepEqual(names(pool.freeFor(claim("1Gi"))), ["b", "a"]);
  pool.put(volume("b", "1Gi", {}, "Released"));
  assert.deepEqual(names(pool.freeFor(claim("1Gi"))), ["a"]);
  pool.put(volume("a", "3Gi", { claimRef: { namespace: "a", name: "c" } }));
  assert.deepEqual(names(pool.freeFor(claim("1Gi"))), []);
  assert.deepEqual(names(pool.reservedFor(claim("1Gi"))), ["a"]);
  pool.delete("a");
  assert.deepEqual(names(pool.namedBy("a/c")), []);
});

test("class, mode, attributes and access modes have to be what the claim asks for", () => {
  const shared = volume("shared", "1Gi", { accessModes: ["ReadWriteMany", "ReadWriteOnce"] });
  const pool = VolumePool.of([
    shared,
    volume("one", "5Gi"),
    volume("block", "1Gi", { volumeMode: "Block" }),
    volume("gold", "1Gi", { volumeAttributesClassName: "gold" }),
    volume("slow", "1Gi", { storageClassName: "slow" }),
  ]);
  assert.deepEqual(names(pool.freeFor(claim("1Gi"))), ["one", "shared"]);
  assert.deepEqual(names(pool.freeFor(claim("1Gi", { accessModes: ["ReadWriteMany"] }))), ["shared"]);
  assert.deepEqual(names(pool.freeFor(claim("1Gi", { volumeMode: "Block" }))), ["block"]);
  assert.deepEqual(names(pool.freeFor(claim("1Gi", { volumeAttributesClassName: "gold" }))), ["gold"]);
  assert.deepEqual(names(pool.freeFor(claim("1Gi", { storageClassName: "slow" }))), ["slow"]);
});

test("a reference with another uid is no reservation", () => {
  const pool = VolumePool.of([volume("a", "1Gi", { claimRef: { namespace: "a", name: "c", uid: "other" } })]);
  assert.deepEqual(names(pool.reservedFor(claim("1Gi"))), []);
  assert.deepEqual(names(pool.namedBy("a/c")), ["a"]);
});
