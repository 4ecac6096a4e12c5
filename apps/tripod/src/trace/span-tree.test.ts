import assert from "node:assert/strict";
import { test } from "node:test";
import type { SpanRecord } from "@tripod/trace";
import { renderTree } from "./render-tree.ts";
import { podTraces, spanTrees } from "./span-tree.ts";

const span = (
  traceId: string,
  spanId: string,
  name: string,
  startMs: number,
  more: Partial<SpanRecord> = {},
): SpanRecord => ({
  traceId,
  spanId,
  name,
  startMs,
  durationMs: 1,
  attributes: {},
  ...more,
});
const pod = { "pod.name": "web", "pod.namespace": "default" };
const spans: SpanRecord[] = [
  span("t1", "a", "kubelet.syncPod", 100, { attributes: pod }),
  span("t1", "b", "RuntimeService/RunPodSandbox", 101, { parentSpanId: "a", attributes: { "rpc.side": "client" } }),
  span("t1", "c", "RuntimeService/RunPodSandbox", 102, { parentSpanId: "b", attributes: { "rpc.side": "server" } }),
  span("t1", "d", "cni ADD bridge", 103, {
    parentSpanId: "c",
    attributes: { "cni.stdin": '{\n "name": "n"}' },
    error: "no room",
  }),
  span("t2", "e", "kubelet.syncPod", 200, { attributes: pod }),
  span("t3", "f", "kubelet.syncPod", 300, { attributes: { ...pod, "pod.name": "other" } }),
];

test("podTraces chooses the latest trace in which the Pod's sandbox was run", () => {
  const selected = podTraces(spans, { namespace: "default", name: "web" }, true);
  assert.deepEqual(
    selected.map((trace) => trace[0]?.traceId),
    ["t1"],
  );
  assert.equal(podTraces(spans, { namespace: "default", name: "web" }, false).length, 2);
  assert.deepEqual(podTraces(spans, { namespace: "kube-system", name: "web" }, false), []);
});

test("renderTree joins the two sides of a call and shows a plugin's JSON and its error", () => {
  const text = renderTree(spanTrees(spans.filter((each) => each.traceId === "t1")), { payloads: "cni" });
  const lines = text
    .split("\n")
    .slice(1)
    .map((line) => line.trimEnd());
  assert.deepEqual(lines, [
    "        0.0         1.0  kubelet.syncPod",
    "        1.0         1.0  └─ RuntimeService/RunPodSandbox",
    "        3.0         1.0     └─ cni ADD bridge  ✗ no room",
    '                                  in  { "name": "n"}',
  ]);
});

test("a span whose parent was not kept is a root", () => {
  assert.deepEqual(
    spanTrees([span("t", "x", "orphan", 1, { parentSpanId: "gone" })]).map((node) => node.span.name),
    ["orphan"],
  );
});
