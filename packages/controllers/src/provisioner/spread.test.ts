import assert from "node:assert/strict";
import { test } from "node:test";
import { spread } from "./spread.ts";

test("claims of a StatefulSet begin at one place after the other, and others anywhere, always at the same", () => {
  const places = ["a", "b", "c"];
  const firsts = [0, 1, 2, 3].map((number) => spread(`data-web-${number}`, places)[0]);
  assert.deepEqual(new Set(firsts.slice(0, 3)), new Set(places));
  assert.equal(firsts[3], firsts[0]);
  const all = Array.from({ length: 100 }, (_claim, index) => spread(`claim${index}x`, places));
  assert.deepEqual(new Set(all.map(([first]) => first)), new Set(places));
  for (const order of all) assert.deepEqual(order.toSorted(), places);
  assert.deepEqual(spread("one", places), spread("one", places));
  assert.deepEqual(spread("one", []), []);
});
