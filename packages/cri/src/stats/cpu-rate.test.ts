import assert from "node:assert/strict";
import { test } from "node:test";
import { CpuRates } from "./cpu-rate.ts";

const second = 1_000_000_000n;

test("a CPU rate is the mean since the last window, whoever asks in between", () => {
  const rates = new CpuRates();
  const ask = (atNs: bigint, usageNs: bigint) => rates.next("container", { atNs, usageNs });
  assert.equal(ask(0n, 0n), undefined, "one look tells nothing");
  assert.equal(ask(second / 50n, second / 50n), undefined, "nor do two at once");
  assert.equal(ask(2n * second, second), second / 2n);
  assert.equal(ask(2n * second + 5_000_000n, second), second / 2n, "an idle moment does not count");
  assert.equal(ask(3n * second, 2n * second), second);
  assert.equal(ask(4n * second, 0n), undefined, "a counter that starts anew is another one");
  rates.prune(() => false);
  assert.equal(ask(9n * second, second), undefined);
});
