import assert from "node:assert/strict";
import { test } from "node:test";
import type { Stored, VolumeSnapshotContent } from "@tripod/api/kubernetes";
import { type ContentDecision, type ContentFacts, decideContent } from "./decide-content.ts";
import { finalizers, groupHandleAnnotation, snapshotAnnotations } from "./snapshot-names.ts";

interface Parts {
  readonly source?: VolumeSnapshotContent["spec"]["source"];
  readonly status?: VolumeSnapshotContent["status"];
  readonly marks?: readonly string[];
  readonly held?: boolean;
  readonly deleting?: boolean;
  readonly uid?: string;
  readonly policy?: "Delete" | "Retain";
}
const content = (parts: Parts): Stored<VolumeSnapshotContent> => ({
  metadata: {
    name: "c",
    uid: "cu",
    resourceVersion: "1",
    creationTimestamp: "2024-01-01T00:00:00Z",
    annotations: Object.fromEntries((parts.marks ?? []).map((mark) => [mark, "yes"])),
    finalizers: parts.held === false ? [] : [finalizers.content],
    ...(parts.deleting === true ? { deletionTimestamp: "2024-01-01T00:00:00Z" } : {}),
  },
  spec: {
    driver: "d",
    deletionPolicy: parts.policy ?? "Delete",
    source: parts.source ?? { volumeHandle: "v" },
    volumeSnapshotRef: { namespace: "n", name: "s", uid: parts.uid ?? "u" },
  },
  ...(parts.status === undefined ? {} : { status: parts.status }),
});
const { beingCreated, beingDeleted } = snapshotAnnotations;
const given = { snapshotHandle: "h" };

const rows: readonly (readonly [why: string, parts: Parts, want: ContentDecision, facts?: Partial<ContentFacts>])[] = [
  ["a new one is held first", { held: false }, { kind: "hold" }],
  ["then its snapshot is taken", {}, { kind: "take", volume: "v" }],
  ["not for nobody", { uid: "" }, { kind: "none" }],
  ["a failure is tried again", { status: { readyToUse: false } }, { kind: "take", volume: "v" }],
  ["unready, it is looked after", { status: { snapshotHandle: "h" } }, { kind: "look", snapshot: "h" }],
  [
    "by the call that took it, where there is no other",
    { status: { snapshotHandle: "h" } },
    { kind: "take", volume: "v" },
    { canLook: false },
  ],
  ["ready, it is left alone", { status: { snapshotHandle: "h", readyToUse: true } }, { kind: "none" }],
  [
    "but for a mark that a crash left",
    { status: { snapshotHandle: "h", readyToUse: true }, marks: [beingCreated] },
    { kind: "settle" },
  ],
  [
    "a given one is looked after before it is bound",
    { source: given, uid: "", held: false },
    { kind: "look", snapshot: "h" },
  ],
  ["a group's member waits for its group", { marks: [groupHandleAnnotation] }, { kind: "none" }],
  [
    "and is looked after like others",
    { marks: [groupHandleAnnotation], status: { snapshotHandle: "h" } },
    { kind: "look", snapshot: "h" },
    { canLook: false },
  ],
  ["deleted by hand, it waits for its snapshot", { deleting: true }, { kind: "none" }],
  [
    "which is gone",
    { deleting: true, status: { snapshotHandle: "h" } },
    { kind: "remove", snapshot: "h" },
    { hasSnapshot: false },
  ],
  [
    "deleted with its snapshot",
    { deleting: true, marks: [beingDeleted], status: { snapshotHandle: "h" } },
    { kind: "remove", snapshot: "h" },
  ],
  ["of which nothing was taken", { deleting: true, marks: [beingDeleted] }, { kind: "remove", snapshot: undefined }],
  [
    "of which something may have been taken",
    { deleting: true, marks: [beingDeleted, beingCreated] },
    { kind: "take", volume: "v" },
  ],
  [
    "whose storage is to be kept",
    { deleting: true, marks: [beingDeleted], policy: "Retain", status: { snapshotHandle: "h" } },
    { kind: "remove", snapshot: undefined },
  ],
  [
    "whose storage goes with a group",
    { deleting: true, marks: [beingDeleted, groupHandleAnnotation], status: { snapshotHandle: "h" } },
    { kind: "remove", snapshot: undefined },
  ],
  [
    "a given one goes with its storage",
    { deleting: true, marks: [beingDeleted], source: given },
    { kind: "remove", snapshot: "h" },
  ],
  ["nothing is left to do when it is let go", { deleting: true, marks: [beingDeleted], held: false }, { kind: "none" }],
];
for (const [why, parts, want, facts] of rows)
  test(`a content: ${why}`, () =>
    assert.deepEqual(decideContent(content(parts), { hasSnapshot: true, canLook: true, ...facts }), want));
