import assert from "node:assert/strict";
import { test } from "node:test";
import { checkDriverName, driverNode } from "./driver-node.ts";

test("names that cannot be a driver's are refused", () => {
  for (const name of ["", "../../etc", "a/b", "a b", ".hidden", "x".repeat(64), "a\0b", "ends-"]) {
    assert.throws(() => checkDriverName(name), /not a domain name/, name);
  }
  for (const name of ["hostpath.csi.k8s.io", "a", "Upper.Case-1"]) checkDriverName(name);
});

const info = { nodeId: "node", maxVolumesPerNode: 0n };
const rows: readonly [why: string, given: Partial<Parameters<typeof driverNode>[1]>, message: RegExp][] = [
  ["no node id", { nodeId: "" }, /gives no node id/],
  ["a node id of a megabyte", { nodeId: "x".repeat(2 ** 20) }, /of 1048576 bytes, and at most 256/],
  ["a negative limit", { maxVolumesPerNode: -1n }, /a limit of -1 volumes/],
  [
    "hundreds of topology keys",
    { accessibleTopology: { segments: Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`k${i}`, "v"])) } },
    /300 topology keys/,
  ],
  [
    "a key that is no label",
    { accessibleTopology: { segments: { "a/b/c": "v" } } },
    /"a\/b\/c", which cannot be a label/,
  ],
  ["a value that is no label", { accessibleTopology: { segments: { zone: "a b" } } }, /zone="a b", which cannot/],
];
for (const [why, given, message] of rows) {
  test(`NodeGetInfo with ${why} is refused in a short sentence`, () => {
    assert.throws(
      () => driverNode("d.test", { ...info, ...given }),
      (error: Error) => message.test(error.message) && error.message.length < 400,
    );
  });
}

test("a limit beyond what a CSINode can hold is the largest that it can", () => {
  const { maxVolumes } = driverNode("d.test", { ...info, maxVolumesPerNode: 2n ** 40n });
  assert.equal(maxVolumes, 2 ** 31 - 1);
});
