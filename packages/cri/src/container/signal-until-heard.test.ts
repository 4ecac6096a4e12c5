import assert from "node:assert/strict";
import { test } from "node:test";
import { dropsSignal } from "./signal-until-heard.ts";

const status = (nsPids: string, masks: { caught?: string; blocked?: string; ignored?: string }): string =>
  [
    "Name:\tsh",
    `NSpid:\t${nsPids}`,
    `SigBlk:\t${masks.blocked ?? "0000000000000000"}`,
    `SigIgn:\t${masks.ignored ?? "0000000000000000"}`,
    `SigCgt:\t${masks.caught ?? "0000000000000000"}`,
    "",
  ].join("\n");

const term = "0000000000004000";
for (const { why, text, drops } of [
  { why: "the first process of a namespace without a handler", text: status("712\t1", {}), drops: true },
  { why: "the same in a namespace in a namespace", text: status("712\t40\t1", {}), drops: true },
  { why: "one with a handler for another signal", text: status("712\t1", { caught: "0000000000000002" }), drops: true },
  { why: "one that handles it", text: status("712\t1", { caught: term }), drops: false },
  {
    why: "one that blocks it, for it may take it up by sigwait",
    text: status("712\t1", { blocked: term }),
    drops: false,
  },
  { why: "one that ignores it on purpose", text: status("712\t1", { ignored: term }), drops: false },
  { why: "a later process of a namespace", text: status("712\t7", {}), drops: false },
  { why: "a process of the host", text: status("712", {}), drops: false },
]) {
  test(`${drops ? "lost is" : "not lost is"} SIGTERM to ${why}`, () => assert.equal(dropsSignal(text, 15), drops));
}
