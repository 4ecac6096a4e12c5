import assert from "node:assert/strict";
import { test } from "node:test";
import {
  addQuantities,
  canonicalQuantity,
  compareQuantities,
  parseQuantity,
  quantityMilliValue,
  quantityValue,
} from "./quantity.ts";

const canonical: readonly (readonly [text: string | number, want: string])[] = [
  ["0", "0"],
  ["0.0Gi", "0"],
  ["1", "1"],
  [2, "2"],
  [0.5, "500m"],
  ["1.5", "1500m"],
  ["0.1", "100m"],
  ["1000m", "1"],
  ["1000", "1k"],
  ["1024Mi", "1Gi"],
  ["1.5Gi", "1536Mi"],
  ["0.5Ki", "512"],
  ["512Ki", "512Ki"],
  ["1000Ki", "1000Ki"],
  ["1e3", "1e3"],
  ["1E", "1E"],
  ["12E-3", "12e-3"],
  ["100000000", "100M"],
  ["-2.5k", "-2500"],
  ["+1", "1"],
  [".5", "500m"],
  ["5.", "5"],
  ["1n", "1n"],
  ["0.1n", "1n"],
  ["0.0001Ki", "102400u"],
  ["9223372036854775808", "9223372036854775807"],
  ["1e999999999", "9223372036854775807"],
  ["1e-999999999", "1e-9"],
  ["123456789012345678", "123456789012345678"],
];
for (const [text, want] of canonical)
  test(`${text} is printed as ${want}`, () => assert.equal(canonicalQuantity(text), want));

const bad: readonly (readonly [text: string, why: string])[] = [
  ["", "nothing"],
  [".", "no digit"],
  ["Gi", "no number"],
  ["1 Gi", "a space"],
  ["1gi", "no such suffix"],
  ["1mi", "no such suffix"],
  ["1,5", "a comma"],
  ["0x10", "hexadecimal"],
  ["1e", "an exponent without digits"],
  ["1".repeat(300), "too long"],
  ["NaN", "no number"],
];
for (const [text, why] of bad)
  test(`${JSON.stringify(text.slice(0, 20))} is refused: ${why}`, () =>
    assert.throws(() => parseQuantity(text), { code: "invalid" }));

test("quantities compare, add and round exactly", () => {
  assert.equal(compareQuantities("1Gi", "1024Mi"), 0);
  assert.ok(compareQuantities("999m", "1") < 0);
  assert.equal(addQuantities("0", "1Gi"), "1Gi");
  assert.equal(addQuantities("100m", "0.9"), "1");
  assert.equal(quantityValue("100m"), 1n);
  assert.equal(quantityValue("-1500m"), -2n);
  assert.equal(quantityValue("1Ki"), 1024n);
  assert.equal(quantityMilliValue("0.1"), 100n);
});
