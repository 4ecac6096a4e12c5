import assert from "node:assert/strict";
import { test } from "node:test";
import { jsonPatch } from "./json-patch.ts";
import { mergePatch } from "./merge-patch.ts";
import { schemaOf } from "./schema.ts";
import { strategicMergePatch } from "./strategic-merge-patch.ts";

const podSchema = schemaOf({ group: "", version: "v1", kind: "Pod" });
const containers = (...list: object[]) => ({ spec: { containers: list } });

const strategic: readonly { name: string; original: object; patch: object; want: object }[] = [
  {
    name: "merges containers by name and keeps the rest",
    original: containers({ name: "a", image: "1", tty: true }, { name: "b", image: "1" }),
    patch: containers({ name: "b", image: "2" }),
    want: containers({ name: "a", image: "1", tty: true }, { name: "b", image: "2" }),
  },
  {
    name: "puts a new container in the place that the patch gives it",
    original: containers({ name: "a" }),
    patch: containers({ name: "b" }, { name: "a" }),
    want: containers({ name: "b" }, { name: "a" }),
  },
  {
    name: "deletes an element by its merge key",
    original: containers({ name: "a" }, { name: "b" }),
    patch: containers({ name: "a", $patch: "delete" }),
    want: containers({ name: "b" }),
  },
  {
    name: "replaces a list with $patch: replace among its elements",
    original: containers({ name: "a" }, { name: "b" }),
    patch: containers({ name: "c" }, { $patch: "replace" }),
    want: containers({ name: "c" }),
  },
  {
    name: "replaces a map with $patch: replace",
    original: { metadata: { labels: { a: "1", b: "2" } } },
    patch: { metadata: { labels: { c: "3", $patch: "replace" } } },
    want: { metadata: { labels: { c: "3" } } },
  },
  {
    name: "removes keys that are null, also in maps that are new",
    original: { metadata: { labels: { a: "1" } } },
    patch: { metadata: { labels: { a: null, b: "2" }, annotations: { x: null, y: "1" } } },
    want: { metadata: { labels: { b: "2" }, annotations: { y: "1" } } },
  },
  {
    name: "adds finalizers without doubling them",
    original: { metadata: { finalizers: ["a", "b"] } },
    patch: { metadata: { finalizers: ["b", "c"] } },
    want: { metadata: { finalizers: ["a", "b", "c"] } },
  },
  {
    name: "deletes from a list of primitives",
    original: { metadata: { finalizers: ["a", "b", "c"] } },
    patch: { metadata: { "$deleteFromPrimitiveList/finalizers": ["b"] } },
    want: { metadata: { finalizers: ["a", "c"] } },
  },
  {
    name: "deletes from and orders a list of primitives at once",
    original: { metadata: { finalizers: ["a", "b", "c"] } },
    patch: {
      metadata: {
        "$deleteFromPrimitiveList/finalizers": ["b"],
        "$setElementOrder/finalizers": ["d", "c", "a"],
        finalizers: ["d"],
      },
    },
    want: { metadata: { finalizers: ["d", "c", "a"] } },
  },
  {
    name: "orders elements, keeping the server's own where they were",
    original: containers({ name: "a" }, { name: "server" }, { name: "b" }),
    patch: {
      spec: { "$setElementOrder/containers": [{ name: "b" }, { name: "a" }], containers: [{ name: "a", image: "2" }] },
    },
    // The server's stood before b, which the patch does not contradict.
    want: containers({ name: "server" }, { name: "b" }, { name: "a", image: "2" }),
  },
  {
    name: "keeps of a volume's sources only those that $retainKeys names",
    original: { spec: { volumes: [{ name: "v", emptyDir: {} }] } },
    patch: { spec: { volumes: [{ name: "v", $retainKeys: ["name", "hostPath"], hostPath: { path: "/x" } }] } },
    want: { spec: { volumes: [{ name: "v", hostPath: { path: "/x" } }] } },
  },
  {
    name: "replaces lists that have no merge strategy",
    original: containers({ name: "a", command: ["x", "y"] }),
    patch: containers({ name: "a", command: ["z"] }),
    want: containers({ name: "a", command: ["z"] }),
  },
  {
    name: "leaves no directive behind in what is new",
    original: {},
    patch: {
      spec: {
        volumes: [
          { name: "v", $retainKeys: ["name", "emptyDir"], emptyDir: {} },
          { name: "w", $patch: "delete" },
        ],
      },
    },
    want: { spec: { volumes: [{ name: "v", emptyDir: {} }] } },
  },
  {
    name: "merges conditions by type",
    original: {
      status: {
        conditions: [
          { type: "Ready", status: "False", reason: "x" },
          { type: "Other", status: "True" },
        ],
      },
    },
    patch: { status: { conditions: [{ type: "Ready", status: "True", reason: null }] } },
    want: {
      status: {
        conditions: [
          { type: "Ready", status: "True" },
          { type: "Other", status: "True" },
        ],
      },
    },
  },
];
for (const { name, original, patch, want } of strategic)
  test(`a strategic merge patch ${name}`, () => {
    const before = structuredClone(original);
    assert.deepEqual(strategicMergePatch(podSchema, original, patch), want);
    assert.deepEqual(original, before);
  });

const badStrategic: readonly (readonly [why: string, patch: unknown])[] = [
  ["an unknown directive", { spec: { $patch: "explode" } }],
  ["an element without its merge key", containers({ image: "x" })],
  ["a delete without the merge key", containers({ $patch: "delete" })],
  ["$retainKeys that misses a key that is set", { spec: { $retainKeys: ["hostname"], nodeName: "n" } }],
  ["an order that is no list", { spec: { "$setElementOrder/containers": "a" } }],
  ["a body that is no object", []],
];
for (const [why, patch] of badStrategic)
  test(`a strategic merge patch is refused: ${why}`, () =>
    assert.throws(() => strategicMergePatch(podSchema, containers({ name: "a" }), patch), { code: "invalid" }));

test("a merge patch merges objects, replaces lists and removes what is null", () => {
  const target = { a: { b: 1, c: [1, 2] }, d: 1 };
  assert.deepEqual(mergePatch(target, { a: { c: [3], b: null, e: { f: null, g: 1 } }, d: "x" }), {
    a: { c: [3], e: { g: 1 } },
    d: "x",
  });
  assert.deepEqual(mergePatch(target, [1]), [1]);
});

const operations: readonly { patch: object[]; target: unknown; want: unknown }[] = [
  {
    target: { a: [1, 3] },
    patch: [
      { op: "add", path: "/a/1", value: 2 },
      { op: "add", path: "/a/-", value: 4 },
    ],
    want: { a: [1, 2, 3, 4] },
  },
  { target: { a: 1 }, patch: [{ op: "add", path: "/b", value: { c: null } }], want: { a: 1, b: { c: null } } },
  { target: { a: [1, 2] }, patch: [{ op: "remove", path: "/a/0" }], want: { a: [2] } },
  {
    target: { "x/y": { "m~n": 1 } },
    patch: [{ op: "replace", path: "/x~1y/m~0n", value: 2 }],
    want: { "x/y": { "m~n": 2 } },
  },
  { target: { a: { b: 1 } }, patch: [{ op: "move", from: "/a/b", path: "/c" }], want: { a: {}, c: 1 } },
  {
    target: { a: { b: 1 } },
    patch: [
      { op: "copy", from: "/a", path: "/c" },
      { op: "replace", path: "/c/b", value: 2 },
    ],
    want: { a: { b: 1 }, c: { b: 2 } },
  },
  {
    target: { a: { x: 1, y: [2] } },
    patch: [{ op: "test", path: "/a", value: { y: [2], x: 1 } }],
    want: { a: { x: 1, y: [2] } },
  },
  { target: 1, patch: [{ op: "replace", path: "", value: 2 }], want: 2 },
  // As upstream's server, which RFC 6902 is not behind.
  { target: { a: 1 }, patch: [{ op: "replace", path: "/b", value: 2 }], want: { a: 1, b: 2 } },
];
for (const { target, patch, want } of operations)
  test(`JSON patch ${JSON.stringify(patch)}`, () => assert.deepEqual(jsonPatch(target, patch), want));

const badOperations: readonly (readonly [why: string, patch: unknown])[] = [
  ["no array", {}],
  ["no path", [{ op: "add", value: 1 }]],
  ["an unknown operation", [{ op: "frob", path: "/a" }]],
  ["a parent that is not there", [{ op: "add", path: "/x/y", value: 1 }]],
  ["an index outside", [{ op: "add", path: "/list/3", value: 1 }]],
  ["an index with a leading zero", [{ op: "replace", path: "/list/00", value: 1 }]],
  ["replace of an element that is not there", [{ op: "replace", path: "/list/1", value: 1 }]],
  ["a failed test", [{ op: "test", path: "/a", value: 2 }]],
  ["no value", [{ op: "add", path: "/b" }]],
  ["a move into itself", [{ op: "move", from: "/list", path: "/list/0" }]],
  ["an inherited property", [{ op: "replace", path: "/constructor/name", value: 1 }]],
  ["a path without a slash", [{ op: "remove", path: "a" }]],
  [
    "copies that double again and again",
    Array.from({ length: 60 }, (_, i) => ({ op: "copy", from: "", path: `/c${i}` })),
  ],
];
for (const [why, patch] of badOperations)
  test(`a JSON patch is refused: ${why}`, () =>
    assert.throws(() => jsonPatch({ a: 1, list: [1] }, patch), { code: "invalid" }));
