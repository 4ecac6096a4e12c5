import assert from "node:assert/strict";
import { test } from "node:test";
import { TripodError } from "@tripod/base";
import { decodeObject, strictDecodingError } from "./decode.ts";
import { findDuplicateFields } from "./duplicate-fields.ts";
import { schemaOf } from "./schema.ts";

const podSchema = schemaOf({ group: "", version: "v1", kind: "Pod" });
assert.ok(podSchema);
const pod = (spec: unknown, metadata: unknown = { name: "a" }): unknown => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata,
  spec,
});
const decode = (value: unknown) => decodeObject(podSchema, value);

test("unknown fields are reported with their paths and dropped", () => {
  const { object, unknownFields } = decode(
    pod({ foo: 1, containers: [{ name: "c", imagee: "x", ports: [{ containerPort: 80, bar: {} }] }] }),
  );
  assert.deepEqual(unknownFields, ["spec.foo", "spec.containers[0].imagee", "spec.containers[0].ports[0].bar"]);
  assert.deepEqual(object, pod({ containers: [{ name: "c", ports: [{ containerPort: 80 }] }] }));
  assert.equal(
    strictDecodingError(unknownFields.slice(0, 1), ["spec.x"]),
    'strict decoding error: duplicate field "spec.x", unknown field "spec.foo"',
  );
});

test("fields of structs that stand among others in JSON are known: a volume's source", () => {
  const spec = {
    containers: [],
    volumes: [
      { name: "v", emptyDir: {} },
      { name: "c", configMap: { name: "m" } },
    ],
  };
  const { object, unknownFields } = decode(pod(spec));
  assert.deepEqual(unknownFields, []);
  assert.deepEqual(object.spec, { containers: [], volumes: spec.volumes });
});

test("quantities, times and durations become canonical; zero values that JSON leaves out go", () => {
  const { object } = decode(
    pod(
      {
        containers: [
          { name: "c", image: "", tty: false, command: [], resources: { limits: { memory: "1024Mi", cpu: 0.5 } } },
        ],
        nodeSelector: {},
        terminationGracePeriodSeconds: 0,
      },
      { name: "a", creationTimestamp: null, deletionTimestamp: "2024-01-02T03:04:05.678+01:00", labels: null },
    ),
  );
  assert.deepEqual(
    object,
    pod(
      {
        containers: [{ name: "c", resources: { limits: { memory: "1Gi", cpu: "500m" } } }],
        terminationGracePeriodSeconds: 0,
      },
      { name: "a", deletionTimestamp: "2024-01-02T02:04:05Z" },
    ),
  );
});

test("a map key __proto__ is a key like any other", () => {
  const { object } = decode(JSON.parse('{"metadata":{"labels":{"__proto__":"x"}}}'));
  assert.equal(JSON.stringify(object), '{"metadata":{"labels":{"__proto__":"x"}}}');
  assert.equal(Object.getPrototypeOf(object), Object.prototype);
});

const mistyped: readonly (readonly [value: unknown, path: string])[] = [
  [[], ""],
  [pod([]), "spec"],
  [pod({ containers: {} }), "spec.containers"],
  [pod({ containers: ["x"] }), "spec.containers[0]"],
  [pod({ containers: [{ name: 1 }] }), "spec.containers[0].name"],
  [pod({ terminationGracePeriodSeconds: "30" }), "spec.terminationGracePeriodSeconds"],
  [pod({ terminationGracePeriodSeconds: 1.5 }), "spec.terminationGracePeriodSeconds"],
  [pod({ hostNetwork: "true" }), "spec.hostNetwork"],
  [pod({ priority: 2 ** 31 }), "spec.priority"],
  [pod({ nodeSelector: { a: 1 } }), "spec.nodeSelector.a"],
  [pod({ overhead: { cpu: "1x" } }), "spec.overhead.cpu"],
  [pod({}, { name: "a", deletionTimestamp: "yesterday" }), "metadata.deletionTimestamp"],
  [pod({}, { name: "a", labels: ["x"] }), "metadata.labels"],
  [pod({ restartPolicy: 3 }), "spec.restartPolicy"],
];
for (const [value, path] of mistyped)
  test(`a value of the wrong type at ${path || "the top"} is refused with its path`, () => {
    assert.throws(
      () => decode(value),
      (error) => {
        assert.ok(error instanceof TripodError);
        assert.equal(error.code, "invalid");
        assert.equal(error.detail.field, path);
        assert.ok(error.message.includes(path));
        return true;
      },
    );
  });

test("priority may be the least 32-bit integer, and a probe's port a number or a name", () => {
  const probe = (port: unknown) => ({
    containers: [{ name: "c", livenessProbe: { tcpSocket: { port } } }],
    priority: -(2 ** 31),
  });
  for (const port of [80, "http"]) assert.deepEqual(decode(pod(probe(port))).object.spec, probe(port));
  assert.throws(() => decode(pod(probe(true))), { code: "invalid" });
});

const duplicates: readonly (readonly [text: string, paths: string[]])[] = [
  ['{"a":1,"b":{"a":1}}', []],
  ['{"a":1,"a":2,"a":3}', ["a"]],
  ['{"spec":{"replicas":1,"x":[{"y":1},{"y":1,"y":2}],"replicas":2}}', ["spec.x[1].y", "spec.replicas"]],
  ['{"a\\"b":1,"a\\u0022b":2}', ['a"b']],
  ['{"a":"x,{\\"a\\":1}","b":["a","a"]}', []],
  ["[[],[{}],{}]", []],
];
for (const [text, paths] of duplicates)
  test(`duplicate keys of ${text}`, () => assert.deepEqual(findDuplicateFields(text), paths));
