import assert from "node:assert/strict";
import { test } from "node:test";
import type { Stored, VolumeSnapshotContent } from "@tripod/api/kubernetes";
import { type ContentDecision, type ContentFacts, decideContent } from "./decide-content.ts";
import { contentView } from "./content-view.ts";
import { singleContents } from "./single-contents.ts";
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
  ["a new one is held first", { held: false }, "hold"],
  ["then its snapshot is taken", {}, "take"],
  ["not for nobody", { uid: "" }, "none"],
  ["not for a snapshot that goes, and whose content stays", { marks: [beingDeleted], policy: "Retain" }, "none"],
  ["what was begun for that is brought to its end", { marks: [beingDeleted, beingCreated], policy: "Retain" }, "take"],
  ["a failure is tried again", { status: { readyToUse: false } }, "take"],
  ["unready, it is looked after", { status: { snapshotHandle: "h" } }, "look"],
  [
    "by the call that took it, where there is no other",
    { status: { snapshotHandle: "h" } },
    "take",
    { canLook: false },
  ],
  ["ready, it is left alone", { status: { snapshotHandle: "h", readyToUse: true } }, "none"],
  [
    "but for a mark that a crash left",
    { status: { snapshotHandle: "h", readyToUse: true }, marks: [beingCreated] },
    "settle",
  ],
  ["a given one is looked after before it is bound", { source: given, uid: "", held: false }, "look"],
  ["a group's member waits for its group", { marks: [groupHandleAnnotation] }, "none"],
  ["and is looked after like others", { marks: [groupHandleAnnotation], status: { snapshotHandle: "h" } }, "look"],
  [
    "or by its group alone",
    { marks: [groupHandleAnnotation], status: { snapshotHandle: "h" } },
    "none",
    { canLook: false },
  ],
  ["deleted by hand, it waits for its snapshot", { deleting: true }, "none"],
  ["which is gone", { deleting: true, status: { snapshotHandle: "h" } }, "remove", { hasOwner: false }],
  ["deleted with its snapshot", { deleting: true, marks: [beingDeleted], status: { snapshotHandle: "h" } }, "remove"],
  ["of which nothing was taken", { deleting: true, marks: [beingDeleted] }, "release"],
  ["of which something may have been taken", { deleting: true, marks: [beingDeleted, beingCreated] }, "take"],
  [
    "whose storage is to be kept",
    { deleting: true, marks: [beingDeleted], policy: "Retain", status: { snapshotHandle: "h" } },
    "release",
  ],
  [
    "whose storage goes with a group",
    { deleting: true, marks: [beingDeleted, groupHandleAnnotation], status: { snapshotHandle: "h" } },
    "release",
  ],
  ["a given one goes with its storage", { deleting: true, marks: [beingDeleted], source: given }, "remove"],
  ["nothing is left to do when it is let go", { deleting: true, marks: [beingDeleted], held: false }, "none"],
];
for (const [why, parts, want, facts] of rows)
  test(`a content: ${why}`, () =>
    assert.equal(
      decideContent(contentView(singleContents, content(parts)), { hasOwner: true, canLook: true, ...facts }),
      want,
    ));
