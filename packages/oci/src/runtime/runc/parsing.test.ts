import assert from "node:assert/strict";
import { test } from "node:test";
import { findProgram } from "./find-program.ts";
import { runcErrorInText } from "./runc-log.ts";
import { parseSyncMessage } from "./sync-pipe.ts";

test("sync messages: pid, failure, and what is neither", () => {
  assert.deepEqual(parseSyncMessage('{"data": 4711}\n'), { kind: "created", pid: 4711 });
  assert.deepEqual(parseSyncMessage('{"data": -1, "message": "no"}'), { kind: "failed", message: "no" });
  assert.deepEqual(parseSyncMessage('{"data": -1}'), { kind: "failed", message: "the runtime gave no reason" });
  assert.throws(() => parseSyncMessage("{"), /not JSON/);
  assert.throws(() => parseSyncMessage("7"), /no object/);
});

test("the error is picked out of runc's text, its quotes taken off", () => {
  const text = [
    'time="2026-01-01T00:00:00Z" level=warning msg="lstat : no such file"',
    String.raw`time="2026-01-01T00:00:00Z" level=error msg="exec: \"foo\": not found"`,
  ].join("\n");
  assert.equal(runcErrorInText(text), 'exec: "foo": not found');
  assert.equal(runcErrorInText(String.raw`time="x" level=fatal msg="byte \xff"`), String.raw`byte \xff`);
  assert.equal(runcErrorInText("something else\n"), "something else");
});

test("findProgram gives a whole path or says what is missing", () => {
  assert.match(findProgram("sh"), /^\/.*\/sh$/);
  assert.equal(findProgram("/bin/sh"), "/bin/sh");
  assert.throws(() => findProgram("no-such-program-here"), /install it/);
});
