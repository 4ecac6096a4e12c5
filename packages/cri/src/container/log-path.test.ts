import assert from "node:assert/strict";
import { test } from "node:test";
import { logPathOf } from "./log-path.ts";

test("a log stays in its sandbox's folder", () => {
  assert.equal(logPathOf("/var/log/pods/p", "c/0.log"), "/var/log/pods/p/c/0.log");
  assert.equal(logPathOf("/var/log/pods/p/", "/var/log/pods/p/0.log"), "/var/log/pods/p/0.log");
  assert.equal(logPathOf("", "c/0.log"), "");
  assert.equal(logPathOf("/var/log/pods/p", ""), "");
  for (const [folder, path, why] of [
    ["/var/log/pods/p", "../q/0.log", "leaves the folder"],
    ["/var/log/pods/p", "/etc/passwd", "leaves the folder"],
    ["/var/log/pods/p", ".", "is the folder itself"],
    ["logs", "0.log", "relative to nothing"],
    ["/var/log/pods/p", "a\0b", "no path has a NUL"],
  ] as const) {
    assert.throws(() => logPathOf(folder, path), { code: "invalid" }, why);
  }
});
