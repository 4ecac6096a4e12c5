import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  ControllerServiceCapability_RPC_Type as Rpc,
  VolumeCapability_AccessMode_Mode as Mode,
  VolumeSchema,
} from "@tripod/api/csi";
import type { CSINode, Node, PersistentVolumeClaim, StorageClass, Stored } from "@tripod/api/kubernetes";
import { planProvision, type ProvisionFacts, volumeObject } from "./plan-provision.ts";

const claim: Stored<PersistentVolumeClaim> = {
  metadata: {
    name: "data",
    namespace: "shop",
    uid: "u1",
    resourceVersion: "7",
    creationTimestamp: "2024-01-01T00:00:00Z",
    annotations: { key: "tenant" },
  },
  spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, storageClassName: "fast" },
};
const storageClass: StorageClass = {
  metadata: { name: "fast" },
  provisioner: "d",
  mountOptions: ["noatime"],
  parameters: {
    tier: "ssd",
    "csi.storage.k8s.io/fstype": "xfs",
    "csi.storage.k8s.io/provisioner-secret-name": "s-${pvc.name}-${pvc.annotations['key']}",
    "csi.storage.k8s.io/provisioner-secret-namespace": "${pvc.namespace}",
    "csi.storage.k8s.io/node-stage-secret-name": "${pv.name}",
    "csi.storage.k8s.io/node-stage-secret-namespace": "kube-system",
  },
};
const node = (name: string, zone: string): Node => ({ metadata: { name, labels: { zone } } });
const csiNode = (name: string, topologyKeys = ["zone"]): CSINode => ({
  metadata: { name },
  spec: { drivers: [{ name: "d", nodeID: name, topologyKeys }] },
});

const facts = (parts: Partial<ProvisionFacts> = {}): ProvisionFacts => ({
  claim,
  class: storageClass,
  driver: { name: "d", rpcs: new Set(), hasTopology: false },
  nodes: [],
  hasSelectedNode: false,
  ...parts,
});

test("the call names the volume after the claim, tells whose it is, and keeps Kubernetes' own parameters to itself", () => {
  const plan = planProvision(facts());
  assert.deepEqual(plan.request, {
    name: "pvc-u1",
    capacityRange: { requiredBytes: 1024n ** 3n },
    volumeCapabilities: [
      {
        accessMode: { mode: Mode.SINGLE_NODE_WRITER },
        accessType: { case: "mount", value: { fsType: "xfs", mountFlags: ["noatime"] } },
      },
    ],
    parameters: {
      tier: "ssd",
      "csi.storage.k8s.io/pvc/name": "data",
      "csi.storage.k8s.io/pvc/namespace": "shop",
      "csi.storage.k8s.io/pv/name": "pvc-u1",
    },
  });
  assert.deepEqual(plan.secrets.provisioner, { name: "s-data-tenant", namespace: "shop" });
  assert.deepEqual(plan.secrets.nodeStage, { name: "pvc-u1", namespace: "kube-system" });
  assert.equal(plan.secrets.nodePublish, undefined);
});

test("access modes follow what the driver can tell apart; a block claim has no file system", () => {
  const spec = {
    ...claim.spec,
    accessModes: ["ReadWriteOnce", "ReadWriteOncePod", "ReadOnlyMany", "ReadWriteMany"] as const,
    volumeMode: "Block" as const,
  };
  const block = { ...claim, spec: { ...spec, accessModes: [...spec.accessModes] } };
  const driver = { name: "d", rpcs: new Set([Rpc.SINGLE_NODE_MULTI_WRITER]), hasTopology: false };
  const { request } = planProvision(facts({ claim: block, driver }));
  assert.deepEqual(
    request.volumeCapabilities?.map((each) => [each.accessMode?.mode, each.accessType?.case]),
    [
      [Mode.SINGLE_NODE_MULTI_WRITER, "block"],
      [Mode.SINGLE_NODE_SINGLE_WRITER, "block"],
      [Mode.MULTI_NODE_READER_ONLY, "block"],
      [Mode.MULTI_NODE_MULTI_WRITER, "block"],
    ],
  );
});

test("topology is the chosen node's, or every place that the class allows", () => {
  const driver = { name: "d", rpcs: new Set<Rpc>(), hasTopology: true };
  const nodes = [
    { node: node("a", "x"), csiNode: csiNode("a") },
    { node: node("b", "x"), csiNode: csiNode("b") },
    { node: node("c", "y"), csiNode: csiNode("c") },
    { node: node("e", "z"), csiNode: undefined },
  ];
  const chosen = planProvision(facts({ driver, nodes: nodes.slice(0, 1), hasSelectedNode: true }));
  assert.deepEqual(chosen.request.accessibilityRequirements?.requisite, [{ segments: { zone: "x" } }]);
  const all = planProvision(facts({ driver, nodes }));
  assert.deepEqual(all.request.accessibilityRequirements?.requisite, [
    { segments: { zone: "x" } },
    { segments: { zone: "y" } },
  ]);
  const limited = { ...storageClass, allowedTopologies: [{ matchLabelExpressions: [{ key: "zone", values: ["y"] }] }] };
  const some = planProvision(facts({ driver, nodes, class: limited }));
  assert.deepEqual(some.request.accessibilityRequirements?.requisite, [{ segments: { zone: "y" } }]);
  assert.throws(() => planProvision(facts({ driver, nodes: nodes.slice(3), hasSelectedNode: true })), {
    code: "failed-precondition",
  });
});

const ofSecret = (name: string, namespace: string, purpose = "provisioner-"): Partial<ProvisionFacts> => {
  const key = `csi.storage.k8s.io/${purpose}secret`;
  return { class: { ...storageClass, parameters: { [`${key}-name`]: name, [`${key}-namespace`]: namespace } } };
};

test("a secret that is for no one call is for all that have none of their own", () => {
  const { secrets } = planProvision(facts(ofSecret("x", "${pvc.namespace}", "")));
  for (const reference of Object.values(secrets)) assert.deepEqual(reference, { name: "x", namespace: "shop" });
});

const refused: readonly (readonly [why: string, parts: Partial<ProvisionFacts>])[] = [
  ["a selector", { claim: { ...claim, spec: { ...claim.spec, selector: {} } } }],
  ["no access mode", { claim: { ...claim, spec: { ...claim.spec, accessModes: [] } } }],
  ["half a secret", { class: { ...storageClass, parameters: { "csi.storage.k8s.io/provisioner-secret-name": "x" } } }],
  [
    "a template that nothing fills",
    {
      class: {
        ...storageClass,
        parameters: { ...storageClass.parameters, "csi.storage.k8s.io/node-stage-secret-name": "${pvc.labels['x']}" },
      },
    },
  ],
  ["a secret in a namespace that the claim's user chooses", ofSecret("x", "${pvc.annotations['key']}")],
  ["a secret in a namespace by the claim's name", ofSecret("x", "${pvc.name}")],
  ["a secret whose name cannot be", ofSecret("../${pvc.name}", "shop")],
  ["a secret whose namespace cannot be", ofSecret("x", "a.b")],
];
for (const [why, parts] of refused)
  test(`provisioning refuses ${why}`, () => assert.throws(() => planProvision(facts(parts)), { code: "invalid" }));

test("the attributes that a claim names are what the volume begins with, and the secret to change them is written down", () => {
  const named = { ...claim, spec: { ...claim.spec, volumeAttributesClassName: "gold" } };
  const modify = "csi.storage.k8s.io/controller-modify-secret";
  const parts = facts({
    claim: named,
    class: { ...storageClass, parameters: { [`${modify}-name`]: "m", [`${modify}-namespace`]: "shop" } },
    driver: { name: "d", rpcs: new Set([Rpc.MODIFY_VOLUME]), hasTopology: false },
    attributes: { metadata: { name: "gold" }, driverName: "d", parameters: { iops: "9" } },
  });
  const plan = planProvision(parts);
  assert.deepEqual(plan.request.mutableParameters, { iops: "9" });
  const volume = volumeObject(parts, plan, create(VolumeSchema, { volumeId: "h1" }));
  assert.equal(volume.spec.volumeAttributesClassName, "gold");
  assert.equal(volume.metadata.annotations?.["volume.kubernetes.io/controller-modify-secret-name"], "m");
  assert.throws(() => planProvision({ ...parts, attributes: undefined }), { code: "failed-precondition" });
  const other = { metadata: { name: "gold" }, driverName: "other" };
  assert.throws(() => planProvision({ ...parts, attributes: other }), { code: "invalid" });
  assert.throws(() => planProvision({ ...parts, driver: { ...parts.driver, rpcs: new Set() } }), { code: "invalid" });
});

test("the volume's object says what the driver made and where it can be reached", () => {
  const plan = planProvision(facts());
  const made = create(VolumeSchema, {
    volumeId: "h1",
    capacityBytes: 3n * 1024n ** 3n,
    volumeContext: { a: "b" },
    accessibleTopology: [{ segments: { zone: "x", rack: "1" } }],
  });
  const volume = volumeObject(facts(), plan, made);
  assert.equal(volume.metadata.name, "pvc-u1");
  assert.deepEqual(volume.metadata.annotations, {
    "pv.kubernetes.io/provisioned-by": "d",
    "volume.kubernetes.io/provisioner-deletion-secret-name": "s-data-tenant",
    "volume.kubernetes.io/provisioner-deletion-secret-namespace": "shop",
  });
  assert.deepEqual(volume.spec.capacity, { storage: "3Gi" });
  assert.equal(volume.spec.persistentVolumeReclaimPolicy, "Delete");
  assert.deepEqual(volume.metadata.finalizers, ["external-provisioner.volume.kubernetes.io/finalizer"]);
  assert.equal(volume.spec.claimRef?.uid, "u1");
  assert.deepEqual(volume.spec.nodeAffinity?.required?.nodeSelectorTerms, [
    {
      matchExpressions: [
        { key: "rack", operator: "In", values: ["1"] },
        { key: "zone", operator: "In", values: ["x"] },
      ],
    },
  ]);
  assert.equal(volume.spec.csi?.volumeHandle, "h1");
  assert.equal(volume.spec.csi?.fsType, "xfs");
  assert.equal(volume.spec.csi?.volumeAttributes?.a, "b");
  assert.deepEqual(volume.spec.csi?.nodeStageSecretRef, { name: "pvc-u1", namespace: "kube-system" });
  const keeping = volumeObject(
    facts({ class: { ...storageClass, reclaimPolicy: "Retain" } }),
    plan,
    create(VolumeSchema, { volumeId: "h" }),
  );
  assert.equal(keeping.metadata.finalizers, undefined);
  assert.deepEqual(keeping.spec.capacity, { storage: "1Gi" });
});
