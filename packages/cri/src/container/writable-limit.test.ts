import assert from "node:assert/strict";
import { test } from "node:test";
import { writableLimitOf } from "./writable-limit.ts";

const mebibyte = 1024 * 1024;
const pod = (value: string, key = "max-size.storage.tripod.dev") => ({
  annotations: { [key]: value },
  container: "web",
});

test("the writable layer is limited by the annotation for the container, else for the Pod, else by the default", () => {
  const config = { writableLayer: { maxSizeBytes: 5 * mebibyte, allowAnnotation: true } };
  const none = { annotations: {}, container: "web" };
  assert.deepEqual(writableLimitOf({}, none), {});
  assert.deepEqual(writableLimitOf({ writableLayer: {} }, none), {});
  assert.deepEqual(writableLimitOf(config, none), { maxSizeBytes: 5 * mebibyte });
  assert.deepEqual(writableLimitOf(config, pod("100Mi")), { maxSizeBytes: 100 * mebibyte });
  assert.deepEqual(writableLimitOf(config, pod("2e6", "max-size.storage.tripod.dev/web")), { maxSizeBytes: 2_000_000 });
  assert.deepEqual(writableLimitOf(config, pod("100Mi", "max-size.storage.tripod.dev/db")), {
    maxSizeBytes: 5 * mebibyte,
  });
  const both = { ...pod("1Gi").annotations, ...pod("2Mi", "max-size.storage.tripod.dev/web").annotations };
  assert.deepEqual(writableLimitOf(config, { annotations: both, container: "web" }), { maxSizeBytes: 2 * mebibyte });
});

const rows: [why: string, value: string, message: RegExp][] = [
  ["no quantity", "much", /max-size.storage.tripod.dev: "much" is not a quantity/],
  ["empty", "", /is not a quantity/],
  ["negative", "-1Gi", /at least|from 1048576/],
  ["too small for a file system", "1023Ki", /1047552 bytes.*1Mi/],
  ["not whole", "1048576500m", /NaN|whole number/],
  ["more than a file may have", "16Ti", /15Ti/],
  ["beyond all bounds", "9E", /15Ti/],
];
for (const [why, value, message] of rows) {
  test(`a limit of the writable layer is refused: ${why}`, () => {
    const config = { writableLayer: { allowAnnotation: true } };
    assert.throws(() => writableLimitOf(config, pod(value)), { code: "invalid", message });
  });
}

test("a Pod that limits itself is refused where the operator does not allow it", () => {
  assert.throws(() => writableLimitOf({ writableLayer: { maxSizeBytes: 5 * mebibyte } }, pod("1Mi")), {
    code: "failed-precondition",
    message: /allowAnnotation/,
  });
});
