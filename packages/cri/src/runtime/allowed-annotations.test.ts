import assert from "node:assert/strict";
import { test } from "node:test";
import { isTripodError } from "@tripod/base";
import { allowedAnnotations } from "./allowed-annotations.ts";
import { handlerSettings } from "./handler-config.ts";

const rows: [why: string, pattern: string, through: readonly string[]][] = [
  ["a name is itself", "a.b/c", ["a.b/c"]],
  ["a dot is a dot", "a.b/c.", []],
  ["a star stops at a slash", "a*", ["axb"]],
  ["a star is anything else", "a.b/*", ["a.b/c", "a.b/cd"]],
  ["a question mark is one character", "a.b/?", ["a.b/c"]],
  ["a star before the slash", "*/cd", ["a.b/cd"]],
];
for (const [why, pattern, through] of rows) {
  test(`annotations that a handler lets through: ${why}`, () => {
    const pod = { "a.b/c": "1", "a.b/cd": "2", axb: "3" };
    const handler = { podAnnotations: [pattern], containerAnnotations: [] };
    assert.deepEqual(Object.keys(allowedAnnotations({ pod, container: pod }, handler)), through);
  });
}

test("the container's annotation wins over the Pod's", () => {
  const handler = { podAnnotations: ["a"], containerAnnotations: ["a"] };
  assert.deepEqual(allowedAnnotations({ pod: { a: "pod" }, container: { a: "own" } }, handler), { a: "own" });
});

test("handlers: runc is always there, defaults are filled in, names that cannot be folders are refused", () => {
  const settings = handlerSettings({ runsc: {}, kata: { program: "/opt/kata", arguments: ["-v"] } });
  assert.deepEqual([...settings.keys()], ["runc", "runsc", "kata"]);
  assert.deepEqual(settings.get("runsc")?.arguments, ["--network=host"]);
  assert.equal(settings.get("kata")?.program, "/opt/kata");
  for (const name of ["", "..", "a/b", "A", "-a", "a".repeat(64)]) {
    assert.throws(
      () => handlerSettings({ [name]: {} }),
      (error) => isTripodError(error, "invalid"),
      name,
    );
  }
});
