import assert from "node:assert/strict";
import { test } from "node:test";
import type { PersistentVolumeClaim, VolumeGroupSnapshot, VolumeSnapshot } from "@tripod/api/kubernetes";
import {
  cloneSourceFinalizer,
  snapshotSourceFinalizer,
  type SourceUsers,
  unneededProtection,
} from "./decide-source-protection.ts";

const both = [snapshotSourceFinalizer, cloneSourceFinalizer];
const claim: PersistentVolumeClaim = {
  metadata: { name: "data", labels: { app: "db" }, finalizers: ["other", ...both] },
  spec: {},
};
const snapshot = (readyToUse?: boolean): VolumeSnapshot => ({
  metadata: { name: "s" },
  spec: { source: { persistentVolumeClaimName: "data" } },
  ...(readyToUse === undefined ? {} : { status: { readyToUse } }),
});
const group = (app: string, readyToUse: boolean): VolumeGroupSnapshot => ({
  metadata: { name: "g" },
  spec: { source: { selector: { matchLabels: { app } } } },
  status: { readyToUse },
});
const unreadable: VolumeGroupSnapshot = {
  metadata: { name: "u" },
  spec: { source: { selector: { matchExpressions: [{ key: "app", operator: "Is" as "In" }] } } },
};
const clone = (phase: "Pending" | "Bound", name = "data"): PersistentVolumeClaim => ({
  metadata: { name: "c" },
  spec: { dataSource: { kind: "PersistentVolumeClaim", name } },
  status: { phase },
});
const rows: readonly (readonly [why: string, users: Partial<SourceUsers>, unneeded: string[]])[] = [
  ["nothing uses it", {}, both],
  ["a snapshot is ready", { snapshots: [snapshot(true)] }, both],
  ["a snapshot is being taken", { snapshots: [snapshot(true), snapshot()] }, [cloneSourceFinalizer]],
  ["a group is being taken", { groups: [group("db", false)] }, [cloneSourceFinalizer]],
  ["a group of others is being taken", { groups: [group("web", false)] }, both],
  ["a group is being taken whose selector is none", { groups: [unreadable] }, both],
  ["a group is ready", { groups: [group("db", true)] }, both],
  ["a clone is being made", { claims: [clone("Pending")] }, [snapshotSourceFinalizer]],
  ["clones are made, or are of others", { claims: [clone("Bound"), clone("Pending", "x")] }, both],
];
for (const [why, users, unneeded] of rows)
  test(`a claim is let go of when ${why}: ${unneeded.length} of 2`, () =>
    assert.deepEqual(unneededProtection(claim, { snapshots: [], groups: [], claims: [], ...users }), unneeded));
