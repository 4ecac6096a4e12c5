import assert from "node:assert/strict";
import { test } from "node:test";
import { CsiDrivers } from "./csi-drivers.ts";

const never = new AbortController().signal;
const missing = /driver name late\.csi\.test not found in the list of registered CSI drivers/;

test("a driver that registers soon after a restart is waited for, others are not taken for it", async () => {
  using drivers = new CsiDrivers({ settleMs: 60_000 });
  const waited = drivers.registered("late.csi.test", never);
  drivers.register("other.csi.test", "/run/other.sock");
  drivers.register("late.csi.test", "/run/late.sock");
  assert.equal((await waited).endpoint, "/run/late.sock");
  assert.equal((await drivers.registered("late.csi.test", never)).name, "late.csi.test");
});

test("one that does not come is an error that names it, at once when the others have settled", async () => {
  using young = new CsiDrivers({ settleMs: 5 });
  await assert.rejects(young.registered("late.csi.test", never), missing);
  using old = new CsiDrivers();
  await assert.rejects(old.registered("late.csi.test", never), missing);
});

test("whoever gives up waits no more", async () => {
  using drivers = new CsiDrivers({ settleMs: 60_000 });
  const abort = new AbortController();
  const waited = drivers.registered("late.csi.test", abort.signal);
  abort.abort(new Error("enough"));
  await assert.rejects(waited, /enough/);
  await assert.rejects(drivers.registered("late.csi.test", abort.signal), /enough/);
});
