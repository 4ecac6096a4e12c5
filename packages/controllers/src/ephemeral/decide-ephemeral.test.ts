import assert from "node:assert/strict";
import { test } from "node:test";
import type { PersistentVolumeClaim, Pod, Stored, Volume } from "@tripod/api/kubernetes";
import { decideEphemeral, podOwners } from "./decide-ephemeral.ts";

const pod: Stored<Pod> = {
  metadata: {
    name: "web",
    namespace: "a",
    uid: "u",
    resourceVersion: "1",
    creationTimestamp: "2024-01-01T00:00:00Z",
  },
  spec: { containers: [] },
};
const spec = { accessModes: ["ReadWriteOnce" as const] };
const volume: Volume = { name: "v", ephemeral: { volumeClaimTemplate: { spec } } };
const owner = { apiVersion: "v1", kind: "Pod", name: "web", uid: "u", controller: true, blockOwnerDeletion: true };
const owned = (...ownerReferences: (typeof owner)[]): PersistentVolumeClaim => ({
  metadata: { name: "web-v", namespace: "a", ownerReferences },
  spec,
});

test("a claim is made from the template, owned by the Pod, once", () => {
  const expected = { kind: "create", claim: { metadata: { ...owned(owner).metadata }, spec } };
  assert.deepEqual(decideEphemeral(pod, volume, undefined), expected);
  assert.equal(decideEphemeral(pod, volume, owned(owner)).kind, "none");
  assert.equal(decideEphemeral(pod, { name: "v", emptyDir: {} }, undefined).kind, "none");
});

test("a claim of another Pod, or one that the Pod does not control, is a conflict", () => {
  assert.equal(decideEphemeral(pod, volume, owned()).kind, "conflict");
  assert.equal(decideEphemeral(pod, volume, owned({ ...owner, uid: "x" })).kind, "conflict");
  assert.equal(decideEphemeral(pod, volume, owned({ ...owner, controller: false })).kind, "conflict");
});

test("a claim goes with Pods only where nothing else owns it", () => {
  assert.deepEqual(
    podOwners(owned(owner)).map(({ uid }) => uid),
    ["u"],
  );
  assert.deepEqual(podOwners(owned(owner, { ...owner, kind: "ConfigMap" })), []);
  assert.deepEqual(podOwners(owned()), []);
});
