import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node, PersistentVolume, PersistentVolumeClaim, Pod } from "@tripod/api/kubernetes";
import { decidePodGc } from "../pod-gc/decide-pod-gc.ts";
import { claimFinalizer, protectClaim, protectVolume, volumeFinalizer } from "./decide-protection.ts";

const deletionTimestamp = "2024-01-01T00:00:00Z";
const pod = (nodeName?: string, phase: "Running" | "Succeeded" = "Running"): Pod => ({
  metadata: {},
  spec: { containers: [], ...(nodeName === undefined ? {} : { nodeName }) },
  status: { phase },
});
const claim = (metadata: PersistentVolumeClaim["metadata"]): PersistentVolumeClaim => ({ metadata, spec: {} });

test("a claim is protected until no Pod on a node uses it", () => {
  const going = claim({ deletionTimestamp, finalizers: ["x", claimFinalizer] });
  assert.equal(protectClaim(claim({}), []), "add");
  assert.equal(protectClaim(claim({ finalizers: [claimFinalizer] }), []), "none");
  assert.equal(protectClaim(going, [pod("n")]), "none");
  assert.equal(protectClaim(going, [pod(), pod("n", "Succeeded")]), "remove");
  assert.equal(protectClaim(claim({ deletionTimestamp }), []), "none");
});

test("a volume is protected while it is bound", () => {
  const volume = (phase: "Bound" | "Released"): PersistentVolume => ({
    metadata: { deletionTimestamp, finalizers: [volumeFinalizer] },
    spec: {},
    status: { phase },
  });
  assert.equal(protectVolume(volume("Bound")), "none");
  assert.equal(protectVolume(volume("Released")), "remove");
  assert.equal(protectVolume({ metadata: {}, spec: {} }), "add");
});

test("a Pod whose node is gone, or that is deleted before it had one, is removed", () => {
  const node: Node = { metadata: { name: "n" }, spec: {} };
  assert.equal(decidePodGc(pod("n"), node).kind, "keep");
  assert.equal(decidePodGc(pod("n"), undefined).kind, "orphaned");
  assert.equal(decidePodGc(pod(), undefined).kind, "keep");
  assert.equal(decidePodGc({ ...pod(), metadata: { deletionTimestamp } }, undefined).kind, "never-started");
});

test("a Pod that is to go is removed from a node that is out of service, once that is not ready", () => {
  const taints = [{ key: "node.kubernetes.io/out-of-service", effect: "NoExecute" as const }];
  const down: Node = { metadata: { name: "n" }, spec: { taints } };
  const ready: Node = { ...down, status: { conditions: [{ type: "Ready", status: "True" }] } };
  const going = { ...pod("n"), metadata: { deletionTimestamp } };
  assert.equal(decidePodGc(going, down).kind, "stranded");
  assert.equal(decidePodGc(going, ready).kind, "keep");
  assert.equal(decidePodGc(pod("n"), down).kind, "keep");
});
