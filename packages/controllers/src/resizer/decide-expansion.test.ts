import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClaimResourceStatus, PersistentVolume, PersistentVolumeClaim } from "@tripod/api/kubernetes";
import { decideExpansion, type ExpansionFacts, wantsGrowth } from "./decide-expansion.ts";

interface Row extends Partial<ExpansionFacts> {
  readonly why: string;
  /** Of the volume; the claim has 1 and asks for 3 unless told. */
  readonly volume: number;
  readonly requested?: number;
  readonly allocated?: number;
  readonly state?: ClaimResourceStatus;
  readonly condition?: string;
  readonly want: string;
}

const claimOf = ({ requested = 3, allocated, state, condition }: Partial<Row>): PersistentVolumeClaim => ({
  metadata: { name: "c", namespace: "default", uid: "u" },
  spec: { resources: { requests: { storage: `${requested}Gi` } } },
  status: {
    phase: "Bound",
    capacity: { storage: "1Gi" },
    ...(allocated === undefined ? {} : { allocatedResources: { storage: `${allocated}Gi` } }),
    ...(state === undefined ? {} : { allocatedResourceStatuses: { storage: state } }),
    ...(condition === undefined ? {} : { conditions: [{ type: condition, status: "True" }] }),
  },
});
const volumeOf = (size: number): PersistentVolume => ({
  metadata: { name: "v" },
  spec: { capacity: { storage: `${size}Gi` }, claimRef: { uid: "u" } },
});

const rows: readonly Row[] = [
  { why: "a first wish", volume: 1, want: "expand to 3, new" },
  { why: "a wish after one that was fulfilled", volume: 1, allocated: 1, want: "expand to 3, new" },
  {
    why: "a try that was cut short",
    volume: 1,
    allocated: 3,
    state: "ControllerResizeInProgress",
    want: "expand to 3",
  },
  {
    why: "another wish while the driver may be at work",
    volume: 1,
    allocated: 2,
    state: "ControllerResizeInProgress",
    want: "expand to 2",
  },
  {
    why: "another wish when the driver has certainly failed",
    volume: 1,
    allocated: 9,
    state: "ControllerResizeInProgress",
    hasFailed: true,
    want: "expand to 3, new",
  },
  {
    why: "less after a refusal",
    volume: 1,
    allocated: 9,
    state: "ControllerResizeInfeasible",
    want: "expand to 3, new",
  },
  {
    why: "the same after a refusal",
    volume: 1,
    allocated: 3,
    state: "ControllerResizeInfeasible",
    want: "expand to 3",
  },
  {
    why: "a volume that has grown without a word in the claim",
    volume: 3,
    allocated: 3,
    state: "ControllerResizeInProgress",
    hasFailed: true,
    want: "expand to 3",
  },
  {
    why: "less than what the volume has by now",
    volume: 5,
    allocated: 5,
    state: "ControllerResizeInProgress",
    want: "expand to 5",
  },
  { why: "nodes that have not begun", volume: 3, allocated: 3, state: "NodeResizePending", want: "none" },
  { why: "nodes at work", volume: 3, allocated: 3, state: "NodeResizeInProgress", want: "none" },
  { why: "another wish while nodes are at work", volume: 2, allocated: 2, state: "NodeResizeInProgress", want: "none" },
  {
    why: "nodes that were told too early",
    volume: 1,
    allocated: 2,
    state: "NodeResizePending",
    want: "expand to 2",
  },
  { why: "a node that refused", volume: 3, allocated: 3, state: "NodeResizeInfeasible", want: "expand to 3" },
  {
    why: "less, for a node that refused, of what the controller has made",
    volume: 5,
    allocated: 5,
    state: "NodeResizeInfeasible",
    want: "expand to 5",
  },
  {
    why: "less, for a node that refused, where nodes do it all",
    volume: 5,
    allocated: 5,
    state: "NodeResizeInfeasible",
    byController: false,
    want: "expand to 3, new",
  },
  { why: "a claim whose state was lost", volume: 3, allocated: 3, want: "expand to 3" },
  { why: "a claim of an older resizer", volume: 3, condition: "FileSystemResizePending", want: "none" },
];
for (const row of rows)
  test(`growth: ${row.why}`, () => {
    const facts = { hasFailed: row.hasFailed ?? false, byController: row.byController ?? true };
    const decision = decideExpansion(claimOf(row), volumeOf(row.volume), facts);
    const said =
      decision.kind === "none"
        ? "none"
        : `expand to ${decision.sizeBytes / 1024n ** 3n}${decision.isNew ? ", new" : ""}`;
    assert.equal(said, row.want);
  });

test("only a bound claim that asks for more than it has wants growth", () => {
  assert.ok(wantsGrowth(claimOf({}), volumeOf(1)));
  assert.ok(!wantsGrowth(claimOf({ requested: 1 }), volumeOf(1)));
  assert.ok(!wantsGrowth({ ...claimOf({}), status: { phase: "Lost", capacity: { storage: "1Gi" } } }, volumeOf(1)));
  const another = volumeOf(1);
  assert.ok(!wantsGrowth(claimOf({}), { ...another, spec: { ...another.spec, claimRef: { uid: "other" } } }));
});
