import assert from "node:assert/strict";
import { test } from "node:test";
import { isTripodError } from "./error.ts";
import { runCommand } from "./run-command.ts";

test("runCommand passes input and collects both streams", async () => {
  const result = await runCommand("sh", ["-c", "cat; echo oops >&2"], { input: "hello" });
  assert.equal(result.stdout.toString(), "hello");
  assert.equal(result.stderr.toString(), "oops\n");
  assert.equal(result.exitCode, 0);
});

test("a failing command's error carries its exit code and what it said", async () => {
  await assert.rejects(runCommand("sh", ["-c", "echo no such thing >&2; exit 3"]), (error) => {
    assert.ok(isTripodError(error, "internal"));
    assert.match(error.message, /exit code 3: no such thing/);
    assert.equal(error.detail.exitCode, 3);
    return true;
  });
});

test("exit codes that were allowed are no failure", async () => {
  assert.equal((await runCommand("sh", ["-c", "exit 3"], { okExitCodes: [0, 3] })).exitCode, 3);
  assert.equal((await runCommand("sh", ["-c", "kill -9 $$"], { okExitCodes: "any" })).exitCode, 137);
});

test("a command that is not installed is a not-found error", async () => {
  await assert.rejects(runCommand("no-such-program-anywhere", []), (error) => isTripodError(error, "not-found"));
});

test("a timeout kills the command's children too", async () => {
  const started = performance.now();
  await assert.rejects(runCommand("sh", ["-c", "sleep 60 & wait"], { timeoutMs: 100 }), (error) =>
    isTripodError(error, "timeout"),
  );
  assert.ok(performance.now() - started < 10_000);
});

test("an abort ends the command", async () => {
  await assert.rejects(runCommand("sleep", ["60"], { signal: AbortSignal.timeout(50) }), (error) =>
    isTripodError(error, "cancelled"),
  );
});

test("endless output is cut with an exhausted error", async () => {
  await assert.rejects(runCommand("yes", [], { maxOutputBytes: 100_000 }), (error) =>
    isTripodError(error, "exhausted"),
  );
});
