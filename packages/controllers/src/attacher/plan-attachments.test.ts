import assert from "node:assert/strict";
import { test } from "node:test";
import type {
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  Stored,
  VolumeAttachment,
} from "@tripod/api/kubernetes";
import {
  attachmentName,
  decideAttachment,
  multiAttachMessage,
  nodesNameOf,
  wantedAttachments,
} from "./plan-attachments.ts";

const stored = (name: string) => ({ name, uid: name, resourceVersion: "1", creationTimestamp: "2024-01-01T00:00:00Z" });
const volume = (modes: PersistentVolume["spec"]["accessModes"] = ["ReadWriteOnce"]): Stored<PersistentVolume> => ({
  metadata: stored("v"),
  spec: {
    accessModes: modes ?? [],
    csi: { driver: "d", volumeHandle: "h" },
    claimRef: { namespace: "default", name: "c", uid: "c" },
  },
});
const claim: Stored<PersistentVolumeClaim> = {
  metadata: { ...stored("c"), namespace: "default" },
  spec: { volumeName: "v" },
  status: { phase: "Bound" },
};
const pod = (name: string, spec: Partial<Pod["spec"]> = {}, phase: "Running" | "Failed" = "Running"): Stored<Pod> => ({
  metadata: { ...stored(name), namespace: "default" },
  spec: { containers: [], nodeName: "n", volumes: [{ name: "x", persistentVolumeClaim: { claimName: "c" } }], ...spec },
  status: { phase },
});
const attachment = (node: string, deleting = false): Stored<VolumeAttachment> => ({
  metadata: {
    ...stored(attachmentName("h", "d", node)),
    ...(deleting ? { deletionTimestamp: "2024-01-01T00:00:00Z" } : {}),
  },
  spec: { attacher: "d", nodeName: node, source: { persistentVolumeName: "v" } },
});
const want = (pods: Stored<Pod>[], attachRequired?: boolean, bound: PersistentVolumeClaim = claim) =>
  wantedAttachments({
    pods,
    claim: () => bound,
    volume: () => volume(),
    driver: () => (attachRequired === undefined ? undefined : { metadata: {}, spec: { attachRequired } }),
    node: () => undefined,
    serving: (driver) => driver,
  });

test("attachments are named as kubelets look for them", () => {
  // printf %s hdn | sha256sum
  assert.equal(attachmentName("h", "d", "n"), "csi-9072ed11cc1acb5fa433a877ff339b6311d013f33bddd1d0092711a8ace5b16d");
  assert.notEqual(attachmentName("h", "d", "n"), attachmentName("h", "d", "m"));
});

test("Pods with a node that have not ended want their volumes there, once a node", () => {
  assert.equal(want([pod("a"), pod("b")]).size, 1);
  assert.equal([...want([pod("a"), pod("b")]).values()][0]?.pods.length, 2);
  assert.equal(want([pod("a"), pod("b", { nodeName: "m" })]).size, 2);
  assert.equal(want([pod("a", {}, "Failed")]).size, 0);
  const { nodeName: _, ...unscheduled } = pod("a").spec;
  assert.equal(want([{ ...pod("a"), spec: unscheduled }]).size, 0);
});

test("a cloud's volume in the Pod itself is wanted as a CSI volume, once with the PersistentVolume of the same handle", () => {
  const inline = pod("a", { volumes: [{ name: "x", awsElasticBlockStore: { volumeID: "vol-1", fsType: "xfs" } }] });
  const [wanted] = want([inline]).values();
  assert.equal(wanted?.name, attachmentName("vol-1", "ebs.csi.aws.com", "n"));
  assert.equal(wanted?.inline, true);
  assert.equal(wanted?.volume.metadata.name, "ebs.csi.aws.com-vol-1");
  assert.deepEqual(wanted?.volume.spec.csi, {
    driver: "ebs.csi.aws.com",
    volumeHandle: "vol-1",
    fsType: "xfs",
    volumeAttributes: { partition: "0" },
  });
  assert.equal(nodesNameOf(wanted?.volume), "kubernetes.io/csi/ebs.csi.aws.com^vol-1");
  assert.equal(want([inline, pod("b", { volumes: inline.spec.volumes ?? [] })]).size, 1);
  assert.equal(want([inline, pod("c")]).size, 2);
});

test("a claim that only names a volume, and is not bound to it, has nothing attached", () => {
  const pods = [pod("a")];
  assert.equal(want(pods, true, { ...claim, status: { phase: "Pending" } }).size, 0);
  assert.equal(want(pods, true, { ...claim, metadata: { ...claim.metadata, uid: "another" } }).size, 0);
});

test("a volume that cannot be translated, in a Pod or as a PersistentVolume, keeps no other from being attached", () => {
  const awsElasticBlockStore = { volumeID: "aws://nowhere" };
  const odd = pod("odd", { volumes: [{ name: "x", awsElasticBlockStore }] });
  assert.equal(want([odd, pod("a")]).size, 1);
  assert.equal(nodesNameOf({ metadata: {}, spec: { awsElasticBlockStore } }), undefined);
});

test("a driver that needs no attaching wants none", () => {
  assert.equal(want([pod("a")], false).size, 0);
  assert.equal(want([pod("a")], true).size, 1);
});

const inUse: Node = { metadata: { name: "n" }, status: { volumesInUse: ["kubernetes.io/csi/d^h"] } };
const outOfService: Node = {
  ...inUse,
  spec: { taints: [{ key: "node.kubernetes.io/out-of-service", effect: "NoExecute" }] },
};
const well: Node = { ...inUse, status: { ...inUse.status, conditions: [{ type: "Ready", status: "True" }] } };
const wanted = { name: "x", volume: volume(), inline: false, node: "n", pods: [] };
const facts = { node: undefined, volume: volume(), others: [], isOverdue: false };
const rows: readonly (readonly [name: string, decision: string, want: string])[] = [
  ["missing and wanted", decideAttachment(wanted, undefined, facts), "create"],
  ["there and wanted", decideAttachment(wanted, attachment("n"), facts), "keep"],
  [
    "wanted while another node has it",
    decideAttachment(wanted, undefined, { ...facts, others: [attachment("m")] }),
    "wait-for-other-node",
  ],
  [
    "wanted by several nodes at once",
    decideAttachment({ ...wanted, volume: volume(["ReadWriteMany"]) }, undefined, {
      ...facts,
      others: [attachment("m")],
    }),
    "create",
  ],
  ["not wanted any more", decideAttachment(undefined, attachment("n"), facts), "delete"],
  [
    "not wanted, but still mounted",
    decideAttachment(undefined, attachment("n"), { ...facts, node: inUse }),
    "wait-for-unmount",
  ],
  [
    "not wanted, of a node out of service",
    decideAttachment(undefined, attachment("n"), { ...facts, node: outOfService }),
    "force-delete",
  ],
  [
    "not wanted for long, of a node that is silent",
    decideAttachment(undefined, attachment("n"), { ...facts, node: inUse, isOverdue: true }),
    "force-delete",
  ],
  [
    "not wanted for long, of a node that is well",
    decideAttachment(undefined, attachment("n"), { ...facts, node: well, isOverdue: true }),
    "wait-for-unmount",
  ],
  ["going already", decideAttachment(undefined, attachment("n", true), facts), "keep"],
];
for (const [name, decision, result] of rows)
  test(`an attachment that is ${name}: ${result}`, () => assert.equal(decision, result));

test("a Pod that does not get a volume is told who holds it, as far as it may know", () => {
  const far: Pod = { metadata: { name: "far", namespace: "other" }, spec: { containers: [] } };
  const told = (...holders: Pod[]): string => multiAttachMessage("v", pod("p"), holders);
  const start = 'Multi-Attach error for volume "v" Volume is already';
  assert.equal(told(), `${start} exclusively attached to one node and can't be attached to another`);
  assert.equal(told(pod("a"), pod("b")), `${start} used by pod(s) a, b`);
  assert.equal(told(far), `${start} used by 1 pod(s) in different namespaces`);
  assert.equal(told(pod("a"), far), `${start} used by pod(s) a and 1 pod(s) in different namespaces`);
});
