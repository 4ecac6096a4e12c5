import assert from "node:assert/strict";
import { test } from "node:test";
import type {
  CSIDriver,
  CSIStorageCapacity,
  Node,
  NodeSpec,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  PodSpec,
  StorageClass,
  Stored,
  VolumeNodeAffinity,
} from "@tripod/api/kubernetes";
import { annotations } from "../volumes/annotations.ts";
import { decide, type NodeState, scoreNode } from "./decide.ts";
import { VolumePool } from "../volumes/volume-pool.ts";
import type { VolumeFacts } from "./volume-fit.ts";

const stored = (name: string, namespace?: string) => ({
  name,
  uid: `uid-${name}`,
  resourceVersion: "1",
  creationTimestamp: "2024-01-01T00:00:00Z",
  ...(namespace === undefined ? {} : { namespace }),
});

interface NodeFacts {
  readonly labels?: Record<string, string>;
  readonly spec?: NodeSpec;
  readonly allocatable?: Record<string, string>;
  readonly pods?: readonly Pod[];
}

function node(name: string, facts: NodeFacts = {}): NodeState {
  const object: Stored<Node> = {
    metadata: { ...stored(name), labels: { "kubernetes.io/hostname": name, ...facts.labels } },
    spec: facts.spec ?? {},
    status: { allocatable: facts.allocatable ?? { cpu: "2", memory: "4Gi", pods: "110" } },
  };
  return { node: object, pods: facts.pods ?? [] };
}

const pod = (name: string, spec: Partial<PodSpec> = {}, labels: Record<string, string> = {}): Pod => ({
  metadata: { ...stored(name, "default"), labels },
  spec: { containers: [{ name: "c" }], ...spec },
});
const asking = (requests: Record<string, string>): Partial<PodSpec> => ({
  containers: [{ name: "c", resources: { requests } }],
});
const claiming = (...names: string[]): Partial<PodSpec> => ({
  volumes: names.map((claimName) => ({ name: claimName, persistentVolumeClaim: { claimName } })),
});

function facts(
  parts: {
    claims?: Stored<PersistentVolumeClaim>[];
    volumes?: Stored<PersistentVolume>[];
    classes?: StorageClass[];
    users?: Pod[];
    drivers?: CSIDriver[];
    capacities?: CSIStorageCapacity[];
    limit?: number;
  } = {},
): VolumeFacts {
  const { claims = [], volumes = [], classes = [], users = [], drivers = [], capacities = [], limit } = parts;
  return {
    claim: (key) => claims.find((claim) => `${claim.metadata.namespace}/${claim.metadata.name}` === key),
    volume: (name) => volumes.find((volume) => volume.metadata.name === name),
    class: (name) => classes.find((each) => each.metadata.name === name),
    csiNode: (name) =>
      limit === undefined
        ? undefined
        : { metadata: { name }, spec: { drivers: [{ name: "d", nodeID: name, allocatable: { count: limit } }] } },
    driver: (name) => drivers.find((each) => each.metadata.name === name),
    capacities: () => capacities,
    pool: VolumePool.of(volumes),
    podsUsing: () => users,
  };
}

const taint = (key: string, effect: "NoSchedule" | "NoExecute" | "PreferNoSchedule", value = "") => ({
  key,
  effect,
  value,
});

const rows: readonly { name: string; pod: Pod; nodes: NodeState[]; want: string }[] = [
  { name: "a fitting node is taken", pod: pod("p"), nodes: [node("a")], want: "a" },
  { name: "no nodes", pod: pod("p"), nodes: [], want: "no nodes available to schedule pods" },
  {
    name: "not enough cpu and memory are both named",
    pod: pod("p", asking({ cpu: "3", memory: "5Gi" })),
    nodes: [node("a"), node("b")],
    want: "0/2 nodes are available: 2 Insufficient cpu, 2 Insufficient memory.",
  },
  {
    name: "what other Pods ask for counts",
    pod: pod("p", asking({ cpu: "1500m" })),
    nodes: [node("a", { pods: [pod("other", asking({ cpu: "501m" }))] })],
    want: "0/1 nodes are available: 1 Insufficient cpu.",
  },
  {
    name: "an exact fit fits",
    pod: pod("p", asking({ cpu: "1500m" })),
    nodes: [node("a", { pods: [pod("other", asking({ cpu: "0.5" }))] })],
    want: "a",
  },
  {
    name: "the greatest init container counts, with the sidecars before it",
    pod: pod("p", {
      initContainers: [
        { name: "s", restartPolicy: "Always", resources: { requests: { cpu: "500m" } } },
        { name: "i", resources: { requests: { cpu: "1600m" } } },
      ],
    }),
    nodes: [node("a")],
    want: "0/1 nodes are available: 1 Insufficient cpu.",
  },
  {
    name: "a limit without a request is the request",
    pod: pod("p", { containers: [{ name: "c", resources: { limits: { "example.com/gpu": "1" } } }] }),
    nodes: [node("a")],
    want: "0/1 nodes are available: 1 Insufficient example.com/gpu.",
  },
  {
    name: "the number of Pods is limited",
    pod: pod("p"),
    nodes: [node("a", { allocatable: { cpu: "2", memory: "1Gi", pods: "1" }, pods: [pod("other")] })],
    want: "0/1 nodes are available: 1 Too many pods.",
  },
  {
    name: "taints are stood or not",
    pod: pod("p", { tolerations: [{ key: "k", operator: "Exists" }] }),
    nodes: [
      node("a", { spec: { taints: [taint("other", "NoSchedule", "v")] } }),
      node("b", { spec: { taints: [taint("k", "NoExecute", "x")] } }),
    ],
    want: "b",
  },
  {
    name: "reasons of several nodes are counted and sorted",
    pod: pod("p", { nodeSelector: { disk: "ssd" } }),
    nodes: [
      node("a", { spec: { taints: [taint("node.kubernetes.io/not-ready", "NoSchedule")] } }),
      node("b"),
      node("c", { spec: { unschedulable: true } }),
      node("d"),
    ],
    want: "0/4 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }, 1 node(s) were unschedulable, 2 node(s) didn't match Pod's node affinity/selector.",
  },
  {
    name: "node affinity knows In, NotIn, Exists, Gt and fields",
    pod: pod("p", {
      affinity: {
        nodeAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [
              {},
              {
                matchExpressions: [
                  { key: "rank", operator: "Gt", values: ["5"] },
                  { key: "zone", operator: "In", values: ["x", "y"] },
                  { key: "zone", operator: "NotIn", values: ["y"] },
                  { key: "gone", operator: "DoesNotExist" },
                ],
                matchFields: [{ key: "metadata.name", operator: "In", values: ["b", "c"] }],
              },
            ],
          },
        },
      },
    }),
    nodes: [
      node("a", { labels: { rank: "9", zone: "x" } }),
      node("b", { labels: { rank: "5", zone: "x" } }),
      node("c", { labels: { rank: "6", zone: "x" } }),
    ],
    want: "c",
  },
  {
    name: "a port of the node is taken once",
    pod: pod("p", { containers: [{ name: "c", ports: [{ containerPort: 80, hostPort: 8080 }] }] }),
    nodes: [
      node("a", {
        pods: [
          pod("o", { containers: [{ name: "c", ports: [{ containerPort: 1, hostPort: 8080, hostIP: "127.0.0.1" }] }] }),
        ],
      }),
    ],
    want: "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
  },
  {
    name: "Pods that avoid each other go to different nodes",
    pod: pod(
      "p",
      {
        affinity: {
          podAntiAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: [
              { topologyKey: "kubernetes.io/hostname", labelSelector: { matchLabels: { app: "x" } } },
            ],
          },
        },
      },
      { app: "x" },
    ),
    nodes: [node("a", { pods: [pod("o", {}, { app: "x" })] }), node("b", { pods: [pod("y"), pod("z")] })],
    want: "b",
  },
  {
    name: "a spread that would lean too far is refused",
    pod: pod(
      "p",
      {
        nodeSelector: { "kubernetes.io/hostname": "a" },
        topologySpreadConstraints: [
          {
            maxSkew: 1,
            topologyKey: "kubernetes.io/hostname",
            whenUnsatisfiable: "DoNotSchedule",
            nodeAffinityPolicy: "Ignore",
            labelSelector: { matchLabels: { app: "x" } },
          },
        ],
      },
      { app: "x" },
    ),
    nodes: [node("a", { pods: [pod("o", {}, { app: "x" })] }), node("b")],
    want: "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) didn't match pod topology spread constraints.",
  },
];
for (const { name, pod: subject, nodes, want } of rows)
  test(`scheduling: ${name}`, () => {
    const decision = decide(subject, nodes, facts());
    assert.equal(decision.kind === "unschedulable" ? decision.message : decision.node, want);
  });

test("the emptier node is better, a preferred one better still, an avoided one worst", () => {
  const subject = pod("p", asking({ cpu: "100m" }));
  const full = node("full", { pods: [pod("o", asking({ cpu: "1" }))] });
  const empty = node("empty");
  assert.ok(scoreNode(subject, empty) > scoreNode(subject, full));
  assert.ok(scoreNode(pod("q"), node("a")) > scoreNode(pod("q"), node("b", { pods: [pod("o")] })));
  const preferring = pod("p", {
    affinity: {
      nodeAffinity: {
        preferredDuringSchedulingIgnoredDuringExecution: [
          {
            weight: 100,
            preference: { matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: ["full"] }] },
          },
        ],
      },
    },
  });
  assert.ok(scoreNode(preferring, full) > scoreNode(preferring, empty));
  const avoided = node("avoided", { spec: { taints: [taint("k", "PreferNoSchedule")] } });
  assert.ok(scoreNode(subject, avoided) < scoreNode(subject, full));
});

const storageClass = (name: string, mode: "Immediate" | "WaitForFirstConsumer", provisioner = "d"): StorageClass => ({
  metadata: { name },
  provisioner,
  volumeBindingMode: mode,
});
function claim(
  name: string,
  parts: Partial<PersistentVolumeClaim["spec"]> = {},
  marks: Record<string, string> = {},
): Stored<PersistentVolumeClaim> {
  return {
    metadata: { ...stored(name, "default"), annotations: marks },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } }, ...parts },
  };
}
const onNode = (name: string): VolumeNodeAffinity => ({
  required: {
    nodeSelectorTerms: [{ matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: [name] }] }],
  },
});
function volume(name: string, parts: Partial<PersistentVolume["spec"]> = {}): Stored<PersistentVolume> {
  return {
    metadata: stored(name),
    spec: { capacity: { storage: "1Gi" }, accessModes: ["ReadWriteOnce"], storageClassName: "late", ...parts },
    status: { phase: "Available" },
  };
}
const bound = (
  name: string,
  volumeName: string,
  modes: PersistentVolumeClaim["spec"]["accessModes"] = ["ReadWriteOnce"],
) => claim(name, { volumeName, accessModes: modes ?? [] }, { [annotations.bindCompleted]: "yes" });

const late = storageClass("late", "WaitForFirstConsumer");
/** A driver that has so much on node b. */
const knowing = (capacity: string) => ({
  drivers: [{ metadata: { name: late.provisioner }, spec: { storageCapacity: true } }],
  capacities: [
    {
      metadata: {},
      storageClassName: "late",
      nodeTopology: { matchLabels: { "kubernetes.io/hostname": "b" } },
      capacity,
    },
  ],
});
const volumeRows: readonly { name: string; claims: string[]; facts: VolumeFacts; want: string }[] = [
  {
    name: "a missing claim",
    claims: ["c"],
    facts: facts(),
    want: '0/2 nodes are available: persistentvolumeclaim "c" not found.',
  },
  {
    name: "an unbound claim that should be bound at once",
    claims: ["c"],
    facts: facts({ claims: [claim("c", { storageClassName: "now" })], classes: [storageClass("now", "Immediate")] }),
    want: "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
  },
  {
    name: "a volume that only one node reaches",
    claims: ["c"],
    facts: facts({ claims: [bound("c", "v")], volumes: [volume("v", { nodeAffinity: onNode("b") })] }),
    want: "b",
  },
  {
    name: "two volumes that no one node reaches",
    claims: ["c", "e"],
    facts: facts({
      claims: [bound("c", "v"), bound("e", "w")],
      volumes: [volume("v", { nodeAffinity: onNode("a") }), volume("w", { nodeAffinity: onNode("b") })],
    }),
    want: "0/2 nodes are available: 2 node(s) had volume node affinity conflict.",
  },
  {
    name: "a class that waits provisions on the chosen node",
    claims: ["c"],
    facts: facts({ claims: [claim("c", { storageClassName: "late" })], classes: [late] }),
    want: "a provision c",
  },
  {
    name: "a class that waits prefers a volume that is there",
    claims: ["c"],
    facts: facts({
      claims: [claim("c", { storageClassName: "late" })],
      classes: [storageClass("late", "WaitForFirstConsumer", "kubernetes.io/no-provisioner")],
      volumes: [volume("v", { nodeAffinity: onNode("b") })],
    }),
    want: "b bind v",
  },
  {
    name: "without a provisioner and a volume there is no place",
    claims: ["c", "e"],
    facts: facts({
      claims: [claim("c", { storageClassName: "late" }), claim("e", { storageClassName: "late" })],
      classes: [storageClass("late", "WaitForFirstConsumer", "kubernetes.io/no-provisioner")],
      volumes: [volume("v")],
    }),
    want: "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind.",
  },
  {
    name: "a node once chosen for a claim stays chosen",
    claims: ["c"],
    facts: facts({
      claims: [claim("c", { storageClassName: "late" }, { [annotations.selectedNode]: "b" })],
      classes: [late],
    }),
    want: "b provision c",
  },
  {
    name: "a claim for one Pod alone is in use",
    claims: ["c"],
    facts: facts({
      claims: [bound("c", "v", ["ReadWriteOncePod"])],
      volumes: [volume("v")],
      users: [pod("other", { ...claiming("c"), nodeName: "a" })],
    }),
    want: "0/2 nodes are available: 2 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode.",
  },
  {
    name: "a driver's limit of volumes a node",
    claims: ["c"],
    facts: facts({ claims: [claim("c", { storageClassName: "late" })], classes: [late], limit: 0 }),
    want: "0/2 nodes are available: 2 node(s) exceed max volume count.",
  },
  {
    name: "storage where there is some",
    claims: ["c"],
    facts: facts({ ...knowing("1Gi"), claims: [claim("c", { storageClassName: "late" })], classes: [late] }),
    want: "b provision c",
  },
  {
    name: "storage that is not enough",
    claims: ["c"],
    facts: facts({ ...knowing("1Mi"), claims: [claim("c", { storageClassName: "late" })], classes: [late] }),
    want: "0/2 nodes are available: 2 node(s) did not have enough free storage.",
  },
];
for (const { name, claims, facts: volumeFacts, want } of volumeRows)
  test(`scheduling with volumes: ${name}`, () => {
    const decision = decide(pod("p", claiming(...claims)), [node("a"), node("b")], volumeFacts);
    if (decision.kind === "unschedulable") assert.equal(decision.message, want);
    else if (decision.kind === "bind") assert.equal(decision.node, want);
    else {
      const parts = [
        decision.node,
        ...decision.plan.bind.map((each) => `bind ${each.volume.metadata.name}`),
        ...decision.plan.provision.map((each) => `provision ${each.metadata.name}`),
      ];
      assert.equal(parts.join(" "), want);
    }
  });
