import assert from "node:assert/strict";
import { test } from "node:test";
import { AttachmentGate } from "./attachment-gate.ts";

test("one container's operations follow one another, others run beside them, a collection runs alone", async () => {
  const gate = new AttachmentGate();
  const log: string[] = [];
  const work = (name: string) => async () => {
    log.push(`${name}+`);
    await new Promise(setImmediate);
    log.push(`${name}-`);
  };
  await Promise.all([
    gate.one("a", work("a1")),
    gate.one("a", work("a2")),
    gate.one("b", work("b1")),
    gate.alone(work("gc")),
    gate.one("b", work("b2")),
  ]);
  const at = (event: string): number => log.indexOf(event);
  assert.ok(at("a1-") < at("a2+"), log.join(" "));
  assert.ok(at("b1+") < at("a1-"), log.join(" "));
  assert.ok(at("a2-") < at("gc+") && at("b1-") < at("gc+"), log.join(" "));
  assert.ok(at("gc-") < at("b2+"), log.join(" "));
});

test("a failing operation holds nobody back", async () => {
  const gate = new AttachmentGate();
  const fail = (): Promise<void> => Promise.reject(new Error("no"));
  await assert.rejects(gate.one("a", fail));
  await assert.rejects(gate.alone(fail));
  assert.equal(await gate.one("a", async () => 1), 1);
  assert.equal(await gate.alone(async () => 2), 2);
});
