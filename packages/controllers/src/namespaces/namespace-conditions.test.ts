import assert from "node:assert/strict";
import { test } from "node:test";
import { namespaceConditions } from "./namespace-conditions.ts";

const nothing = { counts: new Map<string, number>(), finalizers: new Map<string, number>(), failures: [] };

test("an empty namespace says that all is well", () => {
  const conditions = namespaceConditions([], [], nothing, "t");
  assert.deepEqual(new Set(conditions.map((condition) => condition.status)), new Set(["False"]));
  assert.equal(conditions.length, 5);
});

test("what remains is counted by resource and by finalizer, and times stay until a status changes", () => {
  const remaining = {
    counts: new Map([
      ["pods", 2],
      ["configmaps", 1],
    ]),
    finalizers: new Map([["example.com/hold", 1]]),
    failures: ["pods/a: refused"],
  };
  const first = namespaceConditions([], ["/apis/x: away"], remaining, "t1");
  const message = (type: string): string | undefined => first.find((condition) => condition.type === type)?.message;
  assert.equal(
    message("NamespaceContentRemaining"),
    "Some resources are remaining: configmaps has 1 resource instances, pods has 2 resource instances",
  );
  assert.equal(
    message("NamespaceFinalizersRemaining"),
    "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances",
  );
  assert.equal(message("NamespaceDeletionContentFailure"), "pods/a: refused");
  assert.equal(message("NamespaceDeletionDiscoveryFailure"), "/apis/x: away");
  const second = namespaceConditions(first, [], remaining, "t2");
  const time = (type: string): string | undefined =>
    second.find((condition) => condition.type === type)?.lastTransitionTime;
  assert.equal(time("NamespaceContentRemaining"), "t1");
  assert.equal(time("NamespaceDeletionDiscoveryFailure"), "t2");
});
