import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMountInfo } from "@tripod/linux";
import { commandOf } from "./command.ts";
import { mountOf } from "./binds.ts";

const table = parseMountInfo(
  [
    "20 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw",
    "21 20 0:5 / /data rw - tmpfs t rw",
    "22 20 0:6 / /data rw shared:2 - tmpfs u rw",
    "23 20 0:7 / /data2 rw - tmpfs v rw",
    "",
  ].join("\n"),
);

test("mountOf finds the topmost mount that a path lies on", () => {
  assert.equal(mountOf("/data/x", table)?.id, 22);
  assert.equal(mountOf("/data", table)?.id, 22);
  assert.equal(mountOf("/data2", table)?.id, 23);
  assert.equal(mountOf("/dat", table)?.id, 20);
});

const image = { Entrypoint: ["entry", "-e"], Cmd: ["cmd"] };
const commands: readonly [string, string[], string[], string[]][] = [
  ["nothing asked", [], [], ["entry", "-e", "cmd"]],
  ["args replace Cmd", [], ["a"], ["entry", "-e", "a"]],
  ["a command replaces Entrypoint and Cmd", ["c"], [], ["c"]],
  ["both", ["c"], ["a"], ["c", "a"]],
];
for (const [name, command, args, want] of commands) {
  test(`commandOf: ${name}`, () => {
    assert.deepEqual(commandOf({ command, args }, image), want);
  });
}
test("commandOf refuses an image that says nothing", () => {
  assert.throws(() => commandOf({ command: [], args: [] }, {}), /what to run/);
});
