import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Event, PersistentVolumeClaim, Pod, Stored, VolumeAttachment } from "@tripod/api/kubernetes";
import { attachmentWait, claimWait, podWait } from "./waits-for.ts";

const stored = {
  name: "x",
  namespace: "default",
  uid: "u",
  resourceVersion: "1",
  creationTimestamp: "2026-01-01T00:00:00Z",
};
const going = { ...stored, deletionTimestamp: "2026-01-02T00:00:00Z", finalizers: ["kubernetes.io/pvc-protection"] };
const event = (reason: string, message: string, more: Partial<Event> = {}): Event => ({
  metadata: { name: reason },
  involvedObject: { uid: "u" },
  reason,
  message,
  type: "Normal",
  lastTimestamp: "2026-01-01T00:00:01Z",
  ...more,
});
const pod = (parts: Partial<Stored<Pod>>): Stored<Pod> => ({ metadata: stored, spec: { containers: [] }, ...parts });
const claim = (parts: Partial<Stored<PersistentVolumeClaim>>): Stored<PersistentVolumeClaim> => ({
  metadata: stored,
  spec: {},
  ...parts,
});

describe("what is waited for", () => {
  const claims: {
    why: string;
    claim: Stored<PersistentVolumeClaim>;
    users?: Stored<Pod>[];
    events?: Event[];
    waits: string | undefined;
  }[] = [
    { why: "bound", claim: claim({ status: { phase: "Bound" } }), waits: undefined },
    {
      why: "pending, with two Events: the later one",
      claim: claim({ status: { phase: "Pending" } }),
      events: [
        event("ProvisioningFailed", "no room", { lastTimestamp: "2026-01-01T00:00:09Z" }),
        event("ExternalProvisioning", "waiting"),
      ],
      waits: "ProvisioningFailed: no room",
    },
    {
      why: "pending, with an Event about another object alone",
      claim: claim({ status: { phase: "Pending" } }),
      events: [event("FailedBinding", "x", { involvedObject: { uid: "other" } })],
      waits: "nothing has looked at it yet; do the controllers run?",
    },
    {
      why: "growing",
      claim: claim({
        status: {
          phase: "Bound",
          conditions: [{ type: "FileSystemResizePending", status: "True", message: "by its node" }],
        },
      }),
      waits: "FileSystemResizePending: by its node",
    },
    { why: "going, in use", claim: claim({ metadata: going }), users: [pod({})], waits: "the end of its Pods x" },
    { why: "going, free", claim: claim({ metadata: going }), waits: "its finalizers kubernetes.io/pvc-protection" },
  ];
  for (const { why, claim: given, users = [], events = [], waits } of claims)
    test(`a claim that is ${why}`, () => assert.equal(claimWait(given, users, events), waits));

  const pods: { why: string; pod: Stored<Pod>; events?: Event[]; waits: string | undefined }[] = [
    { why: "running", pod: pod({ status: { phase: "Running" } }), waits: undefined },
    {
      why: "without a node",
      pod: pod({ status: { phase: "Pending" } }),
      waits: "a node: the scheduler has not placed it",
    },
    {
      why: "whose volume cannot be mounted",
      pod: pod({ status: { phase: "Pending" } }),
      events: [event("Scheduled", "to n1"), event("FailedMount", "driver x not found", { type: "Warning" })],
      waits: "FailedMount: driver x not found",
    },
    {
      why: "about to start",
      pod: pod({ spec: { containers: [], nodeName: "n1" }, status: { phase: "Pending" } }),
      waits: "its containers to be started",
    },
  ];
  for (const { why, pod: given, events = [], waits } of pods)
    test(`a Pod ${why}`, () => assert.equal(podWait(given, events), waits));

  const attachments: { why: string; parts: Partial<Stored<VolumeAttachment>>; waits: string | undefined }[] = [
    { why: "made", parts: { status: { attached: true } }, waits: undefined },
    { why: "not made yet", parts: {}, waits: "its driver to attach it" },
    {
      why: "refused",
      parts: { status: { attached: false, attachError: { message: "no such node" } } },
      waits: "no such node",
    },
    { why: "going", parts: { metadata: going, status: { attached: true } }, waits: "its driver to detach it" },
  ];
  for (const { why, parts, waits } of attachments)
    test(`an attachment that is ${why}`, () => {
      const spec = { attacher: "d", nodeName: "n1", source: { persistentVolumeName: "pv" } };
      assert.equal(attachmentWait({ metadata: stored, spec, ...parts }), waits);
    });
});
