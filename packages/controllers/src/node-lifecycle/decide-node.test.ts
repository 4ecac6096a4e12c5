import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node, Pod, Taint, Toleration } from "@tripod/api/kubernetes";
import { decideEviction } from "./decide-eviction.ts";
import { decideTaints, silentNodeConditions } from "./decide-node.ts";

const now = "2024-01-01T00:00:00Z";
const node = (conditions: Record<string, string>, taints: Taint[] = [], unschedulable = false): Node => ({
  metadata: { name: "n" },
  spec: { taints, unschedulable },
  status: {
    conditions: Object.entries(conditions).map(([type, status]) => ({ type, status, lastHeartbeatTime: now })),
  },
});
const text = (taints: Taint[] | undefined): string | undefined =>
  taints
    ?.map(
      (taint) =>
        `${taint.key.replace("node.kubernetes.io/", "")}:${taint.effect}${taint.timeAdded === undefined ? "" : "@"}`,
    )
    .join(" ");
const notReady: Taint[] = [
  { key: "node.kubernetes.io/not-ready", effect: "NoSchedule" },
  { key: "node.kubernetes.io/not-ready", effect: "NoExecute", timeAdded: now },
];

const rows: readonly (readonly [name: string, node: Node, want: string | undefined])[] = [
  ["a ready node has none", node({ Ready: "True" }), undefined],
  ["a new node is not ready", node({}), "not-ready:NoSchedule not-ready:NoExecute@"],
  ["a node that is not ready", node({ Ready: "False" }), "not-ready:NoSchedule not-ready:NoExecute@"],
  ["one that is so already", node({ Ready: "False" }, notReady), undefined],
  ["one that fell silent", node({ Ready: "Unknown" }, notReady), "unreachable:NoSchedule unreachable:NoExecute@"],
  [
    "one that became ready, with a taint of the user's",
    node({ Ready: "True" }, [...notReady, { key: "mine", effect: "NoSchedule" }]),
    "mine:NoSchedule",
  ],
  [
    "one under pressure",
    node({ Ready: "True", DiskPressure: "True", MemoryPressure: "False" }),
    "disk-pressure:NoSchedule",
  ],
  ["a cordoned one", node({ Ready: "True" }, [], true), "unschedulable:NoSchedule"],
];
for (const [name, subject, want] of rows)
  test(`taints: ${name}`, () => assert.equal(text(decideTaints(subject, now)), want));

test("a silent node's conditions become Unknown once, and keep the last sign of life", () => {
  const conditions = silentNodeConditions(
    node({ Ready: "True", MemoryPressure: "Unknown", NetworkUnavailable: "False" }),
    "2025-01-01T00:00:00Z",
  );
  assert.deepEqual(
    conditions?.map((each) => [each.type, each.status, each.reason, each.lastHeartbeatTime]),
    [
      ["Ready", "Unknown", "NodeStatusUnknown", now],
      ["DiskPressure", "Unknown", "NodeStatusNeverUpdated", undefined],
      ["PIDPressure", "Unknown", "NodeStatusNeverUpdated", undefined],
    ],
  );
  const all = { Ready: "Unknown", MemoryPressure: "Unknown", DiskPressure: "Unknown", PIDPressure: "Unknown" };
  assert.equal(silentNodeConditions(node(all), now), undefined);
});

const nowMs = Date.parse(now);
const tainted = (...taints: Taint[]): Node => node({}, taints);
const pod = (tolerations: Toleration[] = [], phase: "Running" | "Succeeded" = "Running"): Pod => ({
  metadata: { name: "p" },
  spec: { containers: [], tolerations },
  status: { phase },
});
const unreachable = { key: "node.kubernetes.io/unreachable", effect: "NoExecute", timeAdded: now } as const;
const own = { key: "own", effect: "NoExecute", value: "v" } as const;
const evictions: readonly (readonly [name: string, pod: Pod, node: Node, atMs: number, want: string])[] = [
  ["no taint", pod(), tainted(), nowMs, "keep"],
  ["a taint that does not execute", pod(), tainted({ key: "k", effect: "NoSchedule" }), nowMs, "keep"],
  ["a taint that is not stood", pod(), tainted(own), nowMs, "evict-now"],
  ["a taint that is stood for ever", pod([{ key: "own", operator: "Exists" }]), tainted(own), nowMs, "keep"],
  [
    "a taint that is stood for a while",
    pod([{ key: "own", value: "v", tolerationSeconds: 10 }]),
    tainted({ ...own, timeAdded: now }),
    nowMs + 4000,
    "evict-at 6000",
  ],
  [
    "a while that is over",
    pod([{ key: "own", value: "v", tolerationSeconds: 10 }]),
    tainted({ ...own, timeAdded: now }),
    nowMs + 10_000,
    "evict-now",
  ],
  ["another value", pod([{ key: "own", value: "w" }]), tainted(own), nowMs, "evict-now"],
  ["trouble that nothing was said about", pod(), tainted(unreachable), nowMs, "evict-at 300000"],
  [
    "the shortest of several",
    pod([{ operator: "Exists", tolerationSeconds: 60 }, { operator: "Exists" }]),
    tainted(unreachable),
    nowMs,
    "evict-at 60000",
  ],
  ["a Pod that has ended", pod([], "Succeeded"), tainted(own), nowMs, "keep"],
];
for (const [name, subject, on, atMs, want] of evictions)
  test(`eviction: ${name}`, () => {
    const decision = decideEviction(subject, on, atMs);
    assert.equal(decision.kind === "evict-at" ? `evict-at ${decision.atMs - atMs}` : decision.kind, want);
  });
