import assert from "node:assert/strict";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { encodeFooter, parseFooter } from "./estargz-footer.ts";

test("a footer is an empty gzip member of 51 bytes that says where the table of contents is", () => {
  const footer = encodeFooter(0x1234abcd);
  assert.equal(footer.length, 51);
  assert.equal(gunzipSync(footer).length, 0);
  assert.equal(parseFooter(footer), 0x1234abcd);
  assert.equal(parseFooter(Buffer.concat([Buffer.alloc(100, 7), footer])), 0x1234abcd);
});

test("footers of before eStargz, without a name for their field, are known too", () => {
  const footer = encodeFooter(77);
  const legacy = Buffer.concat([footer.subarray(0, 10), Buffer.from([22, 0]), footer.subarray(16)]);
  assert.equal(legacy.length, 47);
  assert.equal(parseFooter(legacy), 77);
});

const whole = encodeFooter(5);
const changed = (at: number, byte: number): Buffer => {
  const copy = Buffer.from(whole);
  copy[at] = byte;
  return copy;
};

for (const [what, bytes] of [
  ["nothing", Buffer.alloc(0)],
  ["a cut one", whole.subarray(1)],
  ["another beginning", changed(0, 0)],
  ["another field", changed(12, 0x41)],
  ["digits that are none", changed(20, 0x7a)],
  ["an offset beyond what a number holds", changed(16, 0x31)],
  ["another word at the end", changed(33, 0x41)],
] as const) {
  test(`what is no footer says nothing: ${what}`, () => assert.equal(parseFooter(bytes), undefined));
}
