import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makeNetwork } from "./network.ts";

test("tripod demo shows the whole way of a Pod with no network but loopback, and cleans up", async () => {
  using network = makeNetwork();
  const { stdout } = await network.run(join(import.meta.dirname, "../../tripod"), ["demo"], { timeoutMs: 180_000 });
  const text = stdout.toString();
  for (const want of [
    "Hello from web",
    "cni ADD bridge",
    "written before the Pod was deleted",
    "Done: a Pod with an address of its own",
  ]) {
    assert.ok(text.includes(want), `${want} is not in:\n${text}`);
  }
  const folder = /tripod up --root (\/tmp\/tripod-demo-\w+)\/node/.exec(text)?.[1] ?? assert.fail(text);
  assert.equal(existsSync(folder), false, "other tests run a demo, too, each in a folder of its own");
  assert.doesNotMatch((await network.run("ip", ["-o", "link"])).stdout.toString(), /tri-/);
});
