import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { createCgroup, removeCgroup } from "@tripod/linux";
import { possiblePodCgroups, podsWithCgroup } from "./linux-resources.ts";

test("a Pod's cgroup is found by its uid in every QoS class, also when nothing else of the Pod is left", async () => {
  const parent = `/tripod-test-${randomUUID().slice(0, 8)}`;
  try {
    assert.deepEqual(podsWithCgroup(parent), []);
    const uids = possiblePodCgroups("", parent).map((path, index) => {
      createCgroup(`${path}uid-${index}`);
      return `uid-${index}`;
    });
    assert.deepEqual(podsWithCgroup(parent).toSorted(), uids);
  } finally {
    await removeCgroup(parent);
  }
});
