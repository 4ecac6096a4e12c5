import assert from "node:assert/strict";
import { test } from "node:test";
import { TripodError } from "@tripod/base";
import { pullFailure } from "./pull-failure.ts";

test("what kept an image from being pulled is told in upstream's words", () => {
  for (const [code, why, reason, message] of [
    [
      "internal",
      "SignatureValidationFailed: no",
      "SignatureValidationFailed",
      "image pull failed for x because the signature validation failed: no",
    ],
    [
      "internal",
      "RegistryUnavailable: down",
      "RegistryUnavailable",
      "image pull failed for x because the registry is unavailable: down",
    ],
    ["invalid", "must be in lower case", "InvalidImageName", 'failed to pull image "x": must be in lower case'],
    ["not-found", "RegistryAvailable", "ErrImagePull", 'failed to pull image "x": RegistryAvailable'],
  ] as const) {
    assert.deepEqual(pullFailure("x", new TripodError(code, why)), { reason, why, message });
  }
});
