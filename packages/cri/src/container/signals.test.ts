import assert from "node:assert/strict";
import { test } from "node:test";
import { Signal } from "@tripod/api/cri";
import { protocolSignal, signalNumber, stopSignalOf } from "./signals.ts";

const rows: readonly [string, number | undefined][] = [
  ["SIGTERM", 15],
  ["term", 15],
  ["9", 9],
  ["SIGRTMIN", 34],
  ["RTMIN+3", 37],
  ["SIGRTMAX-1", 63],
  ["RTMAX+1", undefined],
  ["0", undefined],
  ["65", undefined],
  ["SIGNONE", undefined],
  ["", undefined],
];
for (const [text, want] of rows) {
  test(`signalNumber(${JSON.stringify(text)}) is ${want}`, () => {
    assert.equal(signalNumber(text), want);
  });
}

test("the request's stop signal goes before the image's, which goes before SIGTERM", () => {
  assert.equal(stopSignalOf(Signal.SIGUSR1, "SIGQUIT"), 10);
  assert.equal(stopSignalOf(Signal.SIGRTMINPLUS3, undefined), 37);
  assert.equal(stopSignalOf(Signal.RUNTIME_DEFAULT, "SIGQUIT"), 3);
  assert.equal(stopSignalOf(Signal.RUNTIME_DEFAULT, "nonsense"), 15);
});

test("every signal that the protocol names has a number, and the way back", () => {
  for (const [name, signal] of Object.entries(Signal)) {
    if (signal === Signal.RUNTIME_DEFAULT) continue;
    const number = stopSignalOf(signal, "SIGKILL");
    assert.ok(number >= 1 && number <= 64, name);
    assert.equal(stopSignalOf(protocolSignal(number), undefined), number, name);
  }
});
