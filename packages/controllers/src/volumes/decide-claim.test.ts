import assert from "node:assert/strict";
import { test } from "node:test";
import type {
  ObjectReference,
  PersistentVolume,
  PersistentVolumeClaim,
  StorageClass,
  Stored,
} from "@tripod/api/kubernetes";
import { annotations } from "./annotations.ts";
import { type ClaimFacts, decideClaim, decideVolume } from "./decide-claim.ts";
import { VolumePool } from "./volume-pool.ts";

const stored = (name: string, extra: object = {}) => ({
  name,
  uid: `uid-${name}`,
  resourceVersion: "1",
  creationTimestamp: "2024-01-01T00:00:00Z",
  ...extra,
});
interface ClaimParts extends Partial<PersistentVolumeClaim["spec"]> {
  readonly marks?: Record<string, string>;
  readonly size?: string;
  readonly deleting?: boolean;
}
function claim({
  marks = {},
  size = "1Gi",
  deleting = false,
  ...spec
}: ClaimParts = {}): Stored<PersistentVolumeClaim> {
  return {
    metadata: {
      ...stored("c", { namespace: "default" }),
      annotations: marks,
      ...(deleting ? { deletionTimestamp: "2024-01-01T00:00:00Z" } : {}),
    },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: size } }, ...spec },
  };
}
type Phase = "Available" | "Bound" | "Released" | "Failed";
interface VolumeParts extends Partial<PersistentVolume["spec"]> {
  readonly size?: string;
  readonly phase?: Phase;
  readonly marks?: Record<string, string>;
  readonly labels?: Record<string, string>;
}
function volume(
  name: string,
  { size = "1Gi", phase = "Available", marks = {}, labels = {}, ...spec }: VolumeParts = {},
): Stored<PersistentVolume> {
  return {
    metadata: { ...stored(name), annotations: marks, labels },
    spec: { capacity: { storage: size }, accessModes: ["ReadWriteOnce"], ...spec },
    status: { phase },
  };
}
const toClaim = (uid?: string): ObjectReference => ({
  namespace: "default",
  name: "c",
  ...(uid === undefined ? {} : { uid }),
});
const classes: readonly StorageClass[] = [
  { metadata: { name: "now" }, provisioner: "driver" },
  { metadata: { name: "late" }, provisioner: "driver", volumeBindingMode: "WaitForFirstConsumer" },
  { metadata: { name: "none" }, provisioner: "kubernetes.io/no-provisioner" },
];
function facts(volumes: Stored<PersistentVolume>[] = [], more: Partial<ClaimFacts> = {}): ClaimFacts {
  return {
    pool: VolumePool.of(volumes),
    volume: (name) => volumes.find((each) => each.metadata.name === name),
    class: (name) => classes.find((each) => each.metadata.name === name),
    defaultClass: undefined,
    waitingPod: undefined,
    ...more,
  };
}
const done = { [annotations.bindCompleted]: "yes" };

const rows: readonly { name: string; claim: Stored<PersistentVolumeClaim>; facts: ClaimFacts; want: string }[] = [
  {
    name: "the smallest that is large enough",
    claim: claim(),
    facts: facts([volume("big", { size: "5Gi" }), volume("fit", { size: "2Gi" }), volume("small", { size: "1023Mi" })]),
    want: "bind fit",
  },
  {
    name: "not one of another class",
    claim: claim({ storageClassName: "none" }),
    facts: facts([volume("v")]),
    want: "wait FailedBinding",
  },
  {
    name: "not one with fewer access modes",
    claim: claim({ accessModes: ["ReadWriteOnce", "ReadWriteMany"] }),
    facts: facts([volume("v")]),
    want: "wait FailedBinding",
  },
  {
    name: "not a block device for a file system",
    claim: claim(),
    facts: facts([volume("v", { volumeMode: "Block" })]),
    want: "wait FailedBinding",
  },
  {
    name: "one that the selector selects",
    claim: claim({ selector: { matchLabels: { a: "b" } } }),
    facts: facts([volume("v"), volume("w", { labels: { a: "b" } })]),
    want: "bind w",
  },
  {
    name: "not one that was used before",
    claim: claim(),
    facts: facts([volume("v", { phase: "Released" })]),
    want: "wait FailedBinding",
  },
  {
    name: "one reserved for it, even if larger",
    claim: claim(),
    facts: facts([volume("v"), volume("mine", { size: "9Gi", claimRef: toClaim() })]),
    want: "bind mine",
  },
  {
    name: "not one reserved for another",
    claim: claim(),
    facts: facts([volume("v", { claimRef: { namespace: "default", name: "other" } })]),
    want: "wait FailedBinding",
  },
  {
    name: "not one reserved for a claim of its name that is gone",
    claim: claim(),
    facts: facts([volume("v", { claimRef: toClaim("other-uid") })]),
    want: "wait FailedBinding",
  },
  {
    name: "provisioning where there is none",
    claim: claim({ storageClassName: "now" }),
    facts: facts(),
    want: "provision driver",
  },
  {
    name: "the volume of its class before provisioning",
    claim: claim({ storageClassName: "now" }),
    facts: facts([volume("v", { storageClassName: "now" })]),
    want: "bind v",
  },
  {
    name: "waiting for the first consumer",
    claim: claim({ storageClassName: "late" }),
    facts: facts([volume("v", { storageClassName: "late" })]),
    want: "wait WaitForFirstConsumer",
  },
  {
    name: "waiting for a Pod that waits itself",
    claim: claim({ storageClassName: "late" }),
    facts: facts([], { waitingPod: "web" }),
    want: "wait WaitForPodScheduled",
  },
  {
    name: "provisioning once the node is chosen",
    claim: claim({ storageClassName: "late", marks: { [annotations.selectedNode]: "n" } }),
    facts: facts([volume("v", { storageClassName: "late" })]),
    want: "provision driver",
  },
  {
    name: "the volume that the scheduler reserved",
    claim: claim({ storageClassName: "late" }),
    facts: facts([volume("v", { storageClassName: "late", claimRef: toClaim("uid-c") })]),
    want: "bind v",
  },
  {
    name: "a class that is not there",
    claim: claim({ storageClassName: "gone" }),
    facts: facts(),
    want: "wait ProvisioningFailed",
  },
  {
    name: "one reserved for it, of whatever class",
    claim: claim({ storageClassName: "now" }),
    facts: facts([volume("mine", { claimRef: toClaim() })]),
    want: "bind mine",
  },
  {
    name: "nothing of a reserved volume that is too small",
    claim: claim({ storageClassName: "" }),
    facts: facts([volume("mine", { size: "1Mi", claimRef: toClaim() })]),
    want: "wait FailedBinding",
  },
  {
    name: "a larger one before one with more access modes than it asks for",
    claim: claim(),
    facts: facts([volume("v", { accessModes: ["ReadWriteOnce", "ReadWriteMany"] }), volume("w", { size: "9Gi" })]),
    want: "bind w",
  },
  {
    name: "one with the attributes that it asks for",
    claim: claim({ volumeAttributesClassName: "gold" }),
    facts: facts([volume("v"), volume("w", { volumeAttributesClassName: "gold" })]),
    want: "bind w",
  },
  {
    name: "a volume without a class before the default one",
    claim: claim(),
    facts: facts([volume("v")], { defaultClass: "now" }),
    want: "bind v",
  },
  { name: "the default class", claim: claim(), facts: facts([], { defaultClass: "now" }), want: "set-class now" },
  {
    name: "no class, by its own wish",
    claim: claim({ storageClassName: "" }),
    facts: facts([], { defaultClass: "now" }),
    want: "wait FailedBinding",
  },
  {
    name: "the volume that it names",
    claim: claim({ volumeName: "v" }),
    facts: facts([volume("a"), volume("v")]),
    want: "bind v",
  },
  {
    name: "a named volume that does not suit",
    claim: claim({ volumeName: "v", size: "2Gi" }),
    facts: facts([volume("v")]),
    want: "wait VolumeMismatch",
  },
  {
    name: "a named volume that another has",
    claim: claim({ volumeName: "v" }),
    facts: facts([volume("v", { claimRef: { namespace: "x", name: "y", uid: "z" } })]),
    want: "wait FailedBinding",
  },
  {
    name: "a named volume that is not there yet",
    claim: claim({ volumeName: "v" }),
    facts: facts(),
    want: "wait FailedBinding",
  },
  {
    name: "nothing for what is being deleted",
    claim: claim({ storageClassName: "now", deleting: true }),
    facts: facts(),
    want: "wait",
  },
  {
    name: "nothing lost",
    claim: claim({ volumeName: "v", marks: done }),
    facts: facts([volume("v", { claimRef: toClaim("uid-c") })]),
    want: "bind v",
  },
  { name: "a lost volume", claim: claim({ volumeName: "v", marks: done }), facts: facts(), want: "lost ClaimLost" },
  {
    name: "a volume that another took",
    claim: claim({ volumeName: "v", marks: done }),
    facts: facts([volume("v", { claimRef: toClaim("someone") })]),
    want: "lost ClaimMisbound",
  },
];
for (const row of rows)
  test(`a claim gets ${row.name}`, () => {
    const decision = decideClaim(row.claim, row.facts);
    const text =
      decision.kind === "bind"
        ? `bind ${decision.volume.metadata.name}`
        : decision.kind === "provision"
          ? `provision ${decision.provisioner}`
          : decision.kind === "set-class"
            ? `set-class ${decision.class}`
            : `${decision.kind} ${decision.reason ?? ""}`.trim();
    assert.equal(text, row.want);
  });

const mine = toClaim("uid-c");
const volumeRows: readonly {
  name: string;
  volume: Stored<PersistentVolume>;
  claim?: Stored<PersistentVolumeClaim>;
  want: string;
}[] = [
  { name: "a new one becomes available", volume: { ...volume("v"), status: {} }, want: "phase Available" },
  { name: "an available one stays", volume: volume("v"), want: "none" },
  {
    name: "one that is reserved by name is available",
    volume: { ...volume("v", { claimRef: toClaim() }), status: {} },
    want: "phase Available",
  },
  {
    name: "one whose claim is gone is released",
    volume: volume("v", { claimRef: mine, phase: "Bound" }),
    want: "phase Released",
  },
  {
    name: "one whose claim was made anew is released",
    volume: volume("v", { claimRef: toClaim("old"), phase: "Bound" }),
    claim: claim({ volumeName: "v" }),
    want: "phase Released",
  },
  { name: "a released one stays released", volume: volume("v", { claimRef: mine, phase: "Released" }), want: "none" },
  {
    name: "a released one whose reference was taken off is available",
    volume: volume("v", { phase: "Released" }),
    want: "phase Available",
  },
  {
    name: "one that is to be recycled fails",
    volume: volume("v", { claimRef: mine, phase: "Released", persistentVolumeReclaimPolicy: "Recycle" }),
    want: "fail VolumeFailedRecycle",
  },
  {
    name: "one that is to be deleted and has no driver fails",
    volume: volume("v", { claimRef: mine, phase: "Released", persistentVolumeReclaimPolicy: "Delete" }),
    want: "fail VolumeFailedDelete",
  },
  {
    name: "one that its driver deletes is left to it",
    volume: volume("v", {
      claimRef: mine,
      phase: "Released",
      persistentVolumeReclaimPolicy: "Delete",
      csi: { driver: "d", volumeHandle: "h" },
    }),
    want: "none",
  },
  {
    name: "one whose claim says so is bound",
    volume: volume("v", { claimRef: mine }),
    claim: claim({ volumeName: "v" }),
    want: "phase Bound",
  },
  {
    name: "one whose claim does not say so yet waits",
    volume: volume("v", { claimRef: mine }),
    claim: claim(),
    want: "none",
  },
  {
    name: "one whose claim took another goes back",
    volume: volume("v", { claimRef: mine, marks: { [annotations.boundByController]: "yes" } }),
    claim: claim({ volumeName: "w" }),
    want: "unbind",
  },
  {
    name: "one made for a claim that took another is released",
    volume: volume("v", { claimRef: mine, phase: "Bound", marks: { [annotations.provisionedBy]: "d" } }),
    claim: claim({ volumeName: "w" }),
    want: "phase Released",
  },
];
for (const row of volumeRows)
  test(`a volume: ${row.name}`, () => {
    const decision = decideVolume(row.volume, row.claim);
    const text =
      decision.kind === "phase"
        ? `phase ${decision.phase}`
        : decision.kind === "fail"
          ? `fail ${decision.reason}`
          : decision.kind;
    assert.equal(text, row.want);
  });
