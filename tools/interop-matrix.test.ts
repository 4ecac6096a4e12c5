import assert from "node:assert/strict";
import { test } from "node:test";
import { interop } from "@tripod/testing";
import { InteropMatrix, type TestEnd } from "./interop-matrix.ts";

const cni = interop({ interface: "CNI", caller: "containerd 1", callee: "Tripod's plugins" });
const csi = interop({ interface: "CSI", caller: "Tripod", callee: "other" });
const end = (name: string, change: Partial<TestEnd> = {}): TestEnd => ({
  name,
  nesting: 0,
  isSuite: false,
  outcome: "passed",
  ...change,
});

test("tests count for the cell of their own name or of the suite around them", () => {
  const matrix = new InteropMatrix();
  matrix.add(end("outside"));
  matrix.add(end("of a suite without a cell", { nesting: 1 }));
  matrix.add(end("plain suite", { isSuite: true }));
  matrix.add(end("one", { nesting: 1 }));
  matrix.add(end("two", { nesting: 2, outcome: "failed" }));
  matrix.add(end("inner suite", { nesting: 1, isSuite: true, outcome: "failed" }));
  matrix.add(end(cni, { isSuite: true, outcome: "failed" }));
  matrix.add(end(`${csi} | a volume`, { outcome: "skipped" }));
  assert.deepEqual(matrix.lines(), [
    "interface  caller        callee            passed  failed  skipped",
    "CNI        containerd 1  Tripod's plugins       1       1        0",
    "CSI        Tripod        other                  0       0        1",
  ]);
});

test("a suite that is skipped or fails as a whole counts as one test", () => {
  const matrix = new InteropMatrix();
  matrix.add(end(cni, { isSuite: true, outcome: "skipped" }));
  assert.match(matrix.lines().at(-1) ?? "", /0 +0 +1$/);
});

test("without a cell there is no table", () => {
  const matrix = new InteropMatrix();
  matrix.add(end("a test"));
  assert.deepEqual(matrix.lines(), []);
});
