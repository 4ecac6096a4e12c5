import assert from "node:assert/strict";
import { test } from "node:test";
import { TripodError } from "@tripod/base";
import { schemaOf } from "./schema.ts";
import { applyConfiguration, trackUpdate } from "./server-side-apply.ts";

const found = schemaOf({ group: "", version: "v1", kind: "Pod" });
assert.ok(found);
const schema = found;
type Json = Record<string, unknown>;
const who = (manager: string, now = "2024-01-01T00:00:00Z") => ({ manager, apiVersion: "v1", now });
const pod = (spec: object, labels?: Record<string, string>): Json => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "a", ...(labels === undefined ? {} : { labels }) },
  spec,
});
const apply = (live: Json | undefined, config: Json, manager: string, force = false): Json =>
  applyConfiguration(schema, live, config, { who: who(manager), force });
const managed = (object: Json): Record<string, unknown> => {
  const { managedFields = [] } = object.metadata as {
    managedFields?: { manager: string; operation: string; fieldsV1: unknown }[];
  };
  return Object.fromEntries(managedFields.map((entry) => [`${entry.manager} ${entry.operation}`, entry.fieldsV1]));
};
const specOf = (object: Json): unknown => object.spec;

test("the author of a configuration owns what it sets, list elements by their keys", () => {
  const ports = [{ containerPort: 80 }];
  const object = apply(
    undefined,
    pod({ containers: [{ name: "c", image: "x", command: ["a", "b"], ports }] }, { app: "web" }),
    "me",
  );
  assert.deepEqual(managed(object), {
    "me Apply": {
      "f:metadata": { "f:labels": { "f:app": {} } },
      "f:spec": {
        "f:containers": {
          'k:{"name":"c"}': {
            ".": {},
            "f:name": {},
            "f:image": {},
            "f:command": {},
            "f:ports": { 'k:{"containerPort":80,"protocol":"TCP"}': { ".": {}, "f:containerPort": {} } },
          },
        },
      },
    },
  });
});

test("what a configuration sets no more goes, unless somebody else owns it", () => {
  const first = apply(
    undefined,
    pod(
      {
        containers: [
          { name: "c", image: "x" },
          { name: "d", image: "y" },
        ],
      },
      { app: "web", tier: "1" },
    ),
    "me",
  );
  const shared = apply(first, pod({ containers: [{ name: "d", image: "y" }] }), "you");
  const second = apply(shared, pod({ containers: [{ name: "c", image: "x" }] }, { app: "web" }), "me");
  assert.deepEqual(second.metadata, { ...(second.metadata as object), labels: { app: "web" } });
  assert.deepEqual(specOf(second), {
    containers: [
      { name: "c", image: "x" },
      { name: "d", image: "y" },
    ],
  });
  const third = apply(second, pod({ containers: [{ name: "c", image: "x" }] }), "you");
  assert.deepEqual(specOf(third), { containers: [{ name: "c", image: "x" }] });
  assert.equal(
    (apply(third, pod({ containers: [{ name: "c", image: "x" }] }), "me").metadata as Json).labels,
    undefined,
  );
});

test("changing what another owns is a conflict that names it, and can be forced", () => {
  const first = apply(undefined, pod({ containers: [{ name: "c", image: "x" }], hostname: "h" }), "me");
  const change = pod({ containers: [{ name: "c", image: "z" }], hostname: "i" });
  assert.throws(
    () => apply(first, change, "you"),
    (error) => {
      assert.ok(error instanceof TripodError);
      assert.equal(error.code, "conflict");
      assert.equal(
        error.message,
        'Apply failed with 2 conflicts: conflicts with "me":\n- .spec.containers[name="c"].image\n- .spec.hostname',
      );
      return true;
    },
  );
  const forced = apply(first, change, "you", true);
  assert.deepEqual(specOf(forced), { containers: [{ name: "c", image: "z" }], hostname: "i" });
  assert.deepEqual(managed(forced)["me Apply"], {
    "f:spec": { "f:containers": { 'k:{"name":"c"}': { ".": {}, "f:name": {} } } },
  });
  // The same value is no conflict: both own it.
  assert.deepEqual(specOf(apply(first, pod({ hostname: "h" }), "you")), specOf(first));
});

test("updates own what they change and free what they remove", () => {
  const created = trackUpdate(
    schema,
    undefined,
    pod({ containers: [{ name: "c", image: "x" }], nodeSelector: { a: "b" } }, { app: "web" }),
    who("creator"),
  );
  assert.deepEqual(managed(created), {
    "creator Update": {
      "f:metadata": { "f:labels": { ".": {}, "f:app": {} } },
      "f:spec": {
        "f:containers": { 'k:{"name":"c"}': { ".": {}, "f:name": {}, "f:image": {} } },
        "f:nodeSelector": {},
      },
    },
  });
  const changed = { ...created, spec: { containers: [{ name: "c", image: "y" }] } };
  const updated = trackUpdate(schema, created, changed, who("updater", "2025-01-01T00:00:00Z"));
  assert.deepEqual(managed(updated)["updater Update"], {
    "f:spec": { "f:containers": { 'k:{"name":"c"}': { "f:image": {} } } },
  });
  assert.deepEqual(managed(updated)["creator Update"], {
    "f:metadata": { "f:labels": { ".": {}, "f:app": {} } },
    "f:spec": { "f:containers": { 'k:{"name":"c"}': { ".": {}, "f:name": {} } } },
  });
  assert.throws(() => apply(updated, pod({ containers: [{ name: "c", image: "z" }] }), "me"), {
    message: 'Apply failed with 1 conflict: conflict with "updater" using v1: .spec.containers[name="c"].image',
  });
  assert.deepEqual(trackUpdate(schema, updated, structuredClone(updated), who("idle")).metadata, updated.metadata);
});

test("sets merge by value; many updaters are folded into one", () => {
  const finalizers = (...list: string[]): Json => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "a", finalizers: list },
  });
  const both = apply(apply(undefined, finalizers("x", "y"), "me"), finalizers("z"), "you");
  assert.deepEqual((both.metadata as Json).finalizers, ["x", "y", "z"]);
  assert.deepEqual((apply(both, finalizers("y"), "me").metadata as Json).finalizers, ["y", "z"]);
  let object = trackUpdate(schema, undefined, pod({}), who("m"));
  for (let index = 0; index < 30; index += 1) {
    const { labels = {} } = object.metadata as { labels?: Record<string, string> };
    object = trackUpdate(
      schema,
      object,
      { ...object, metadata: { ...(object.metadata as Json), labels: { ...labels, [`l${index}`]: "" } } },
      who(`m${index}`),
    );
  }
  const names = Object.keys(managed(object));
  assert.equal(names.length, 10);
  assert.ok(names.includes("ancient-changes Update"));
});

test("an object that nobody applied before belongs to those who were first", () => {
  const live = pod({ containers: [{ name: "c", image: "x" }] });
  assert.throws(() => apply(live, pod({ containers: [{ name: "c", image: "y" }] }), "me"), {
    message:
      'Apply failed with 1 conflict: conflict with "before-first-apply" using v1: .spec.containers[name="c"].image',
  });
  assert.throws(() => apply(undefined, { ...pod({}), metadata: { name: "a", managedFields: [{}] } }, "me"), {
    code: "invalid",
  });
});
