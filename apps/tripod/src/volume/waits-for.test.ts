import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type {
  Event,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  Stored,
  VolumeAttachment,
} from "@tripod/api/kubernetes";
import { attachmentWait, claimWait, podWait, type Progress, volumeWait } from "./waits-for.ts";

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
      why: "pending, and asked for again after a refusal: the refusal",
      claim: claim({ status: { phase: "Pending" } }),
      events: [
        event("ProvisioningFailed", "no room", { type: "Warning" }),
        event("Provisioning", "asked again", { lastTimestamp: "2026-01-01T00:00:09Z" }),
      ],
      waits: "ProvisioningFailed: no room",
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
    {
      why: "growing, and the driver refuses: the refusal",
      claim: claim({
        status: {
          phase: "Bound",
          conditions: [
            { type: "Resizing", status: "True" },
            { type: "ControllerResizeError", status: "True", message: "the disk is full" },
          ],
        },
      }),
      waits: "ControllerResizeError: the disk is full",
    },
    {
      why: "to have the attributes of a class that is not there",
      claim: claim({ status: { phase: "Bound", modifyVolumeStatus: { status: "Pending" } } }),
      events: [event("VolumeModifyFailed", 'VAC "gold" does not exist.', { type: "Warning" }), event("Other", "x")],
      waits: 'VolumeModifyFailed: VAC "gold" does not exist.',
    },
    {
      why: "to have other attributes, which nobody has looked at",
      claim: claim({
        spec: { volumeAttributesClassName: "gold" },
        status: { phase: "Bound", modifyVolumeStatus: { status: "InProgress" } },
      }),
      waits: "the attributes of VolumeAttributesClass gold",
    },
    { why: "going, in use", claim: claim({ metadata: going }), users: [pod({})], waits: "the end of its Pods x" },
    { why: "going, free", claim: claim({ metadata: going }), waits: "its finalizers kubernetes.io/pvc-protection" },
  ];
  for (const { why, claim: given, users = [], events = [], waits } of claims)
    test(`a claim that is ${why}`, () => assert.equal(claimWait(given, users, events), waits));

  const pods: {
    why: string;
    pod: Stored<Pod>;
    events?: Event[];
    progress?: Progress;
    waits: string | undefined;
  }[] = [
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
    {
      why: "whose claim is not bound",
      pod: pod({ status: { phase: "Pending" } }),
      progress: "unbound",
      waits: "its claim to be bound",
    },
    {
      why: "whose volume is not mounted yet",
      pod: pod({ spec: { containers: [], nodeName: "n1" }, status: { phase: "Pending" } }),
      progress: "away",
      waits: "its volume to be mounted",
    },
    {
      why: "that is to go and has its volume",
      pod: pod({ metadata: going, status: { phase: "Running" } }),
      waits: "its containers to end and its volumes to be unmounted",
    },
    { why: "that is to go without it", pod: pod({ metadata: going }), progress: "away", waits: undefined },
  ];
  for (const { why, pod: given, events = [], progress = "there", waits } of pods)
    test(`a Pod ${why}`, () => assert.equal(podWait(given, events, progress), waits));

  const volumes: { why: string; parts: Partial<Stored<PersistentVolume>>; waits: string | undefined }[] = [
    { why: "bound", parts: { status: { phase: "Bound" } }, waits: undefined },
    { why: "failed", parts: { status: { phase: "Failed", message: "no such disk" } }, waits: "no such disk" },
    {
      why: "released and kept",
      parts: { spec: { persistentVolumeReclaimPolicy: "Retain" }, status: { phase: "Released" } },
      waits: "somebody to delete it, or to take off its claimRef for the next claim",
    },
    {
      why: "released",
      parts: { spec: { persistentVolumeReclaimPolicy: "Delete" }, status: { phase: "Released" } },
      waits: "its driver to delete it",
    },
    { why: "going", parts: { metadata: going }, waits: "its finalizers kubernetes.io/pvc-protection" },
  ];
  for (const { why, parts, waits } of volumes)
    test(`a volume that is ${why}`, () => assert.equal(volumeWait({ metadata: stored, spec: {}, ...parts }), waits));

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
