import assert from "node:assert/strict";
import { test } from "node:test";
import { TripodError } from "@tripod/base";
import { volumeSnapshots } from "@tripod/kube";
import { isServed } from "./snapshot-world.ts";

const answering = (answer: () => Promise<never>) => ({ resourceOf: answer });

test("a resource is followed unless the API server says that it has none of the kind", async () => {
  const found = { resourceOf: async () => ({ ...volumeSnapshots, namespaced: true }) };
  assert.equal(await isServed(found, volumeSnapshots), true);
  const absent = answering(() => Promise.reject(new TripodError("not-found", "no such kind")));
  assert.equal(await isServed(absent, volumeSnapshots), false);
  const away = answering(() => Promise.reject(new TripodError("unavailable", "connection refused")));
  assert.equal(await isServed(away, volumeSnapshots), true);
});
