import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { checkpointDialectOf } from "./checkpoint.ts";
import { findProgram } from "./find-program.ts";
import { runcErrorInText, runcErrorOf } from "./runc-log.ts";
import { dialectOf, parseFeatures } from "./runtime-program.ts";
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

test("what a runtime can do is read from its features; what it does not say, it cannot", () => {
  const none = { recursiveReadonly: false, userNamespaces: false };
  const rows: [features: string, expected: object][] = [
    ["", none],
    ["unknown command features", none],
    ["[]", none],
    ['{"mountOptions": "rro"}', none],
    [JSON.stringify({ mountOptions: ["ro", "rro"] }), { ...none, recursiveReadonly: true }],
    [JSON.stringify({ linux: { namespaces: ["mount"] } }), none],
    [JSON.stringify({ linux: { namespaces: ["user", "mount"] } }), { ...none, userNamespaces: true }],
  ];
  for (const [features, expected] of rows) assert.deepEqual(parseFeatures(features), expected, features);
});

test("a runtime is known by what it calls itself", () => {
  const rows: [version: string, dialect: object][] = [
    ["runc version 1.1.5+ds1", { startsThroughFifo: true, hasKernelOfItsOwn: false, execInherits: true }],
    ["crun version 1.8.1", { startsThroughFifo: false, hasKernelOfItsOwn: false, execInherits: true }],
    ["runsc version release-20240101.0", { startsThroughFifo: false, hasKernelOfItsOwn: true, execInherits: true }],
    ["youki version 0.3.3", { startsThroughFifo: false, hasKernelOfItsOwn: false, execInherits: false }],
    ["", { startsThroughFifo: false, hasKernelOfItsOwn: false, execInherits: true }],
  ];
  for (const [version, dialect] of rows) assert.deepEqual(dialectOf(version), dialect, version);
});

test("the last error of a JSON log is found, in runc's words and in youki's without its stack", () => {
  const folder = mkdtempSync("/tmp/tripod-log-");
  try {
    const log = join(folder, "log");
    const rows: [lines: object[], expected: string | undefined][] = [
      [[], undefined],
      [[{ level: "warning", msg: "a warning" }], undefined],
      [
        [
          { level: "error", msg: "first" },
          { level: "error", msg: "last" },
          { level: "info", msg: "done" },
        ],
        "last",
      ],
      [[{ level: "ERROR", message: "no such program\n\nStack backtrace:\n 0: main" }], "no such program"],
    ];
    for (const [lines, expected] of rows) {
      writeFileSync(log, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
      assert.equal(runcErrorOf(log), expected);
    }
    assert.equal(runcErrorOf(join(folder, "none")), undefined);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("what a runtime says of itself tells how it makes checkpoints", () => {
  const rows: [version: string, kind: string, resumes?: boolean][] = [
    ["runc version 1.1.5+ds1", "criu"],
    ["crun version 1.8.1\nspec: 1.0.0\n+SYSTEMD +YAJL", "none"],
    ["crun version 1.21\nspec: 1.0.0\n+SYSTEMD +CRIU +YAJL", "criu"],
    ["runsc version 0.0~20221219.0", "own kernel", false],
    ["runsc version release-20240729.0", "own kernel", true],
    ["youki version 0.3.3", "none"],
    ["", "none"],
  ];
  for (const [version, kind, resumes] of rows) {
    const dialect = checkpointDialectOf(version);
    assert.equal(dialect.kind, kind, version);
    if (dialect.kind === "own kernel") assert.equal(dialect.resumes, resumes, version);
  }
});
