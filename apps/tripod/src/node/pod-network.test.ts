import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { isTripodError, layoutOf } from "@tripod/base";
import { chooseSubnet, preparePodNetwork, subnetsOverlap } from "./pod-network.ts";

const dir = mkdtempSync("/tmp/tripod-network-");
after(() => rmSync(dir, { recursive: true }));

const rows: [a: string, b: string, overlap: boolean][] = [
  ["10.244.1.0/24", "10.244.1.7/32", true],
  ["10.244.1.0/24", "10.244.2.0/24", false],
  ["10.0.0.0/8", "10.244.2.0/24", true],
  ["192.168.0.1/16", "10.244.2.0/24", false],
  ["0.0.0.0/0", "10.244.2.0/24", true],
];
for (const [a, b, overlap] of rows)
  test(`${a} and ${b} ${overlap ? "overlap" : "do not overlap"}`, () => assert.equal(subnetsOverlap(a, b), overlap));

test("instances begin at different subnets and step over those in use", () => {
  assert.equal(chooseSubnet("", []), "10.244.0.0/24");
  assert.notEqual(chooseSubnet("aaaa", []), chooseSubnet("bbbb", []));
  assert.equal(chooseSubnet("", ["10.244.0.1/24", "10.244.1.9/32"]), "10.244.2.0/24");
  assert.throws(
    () => chooseSubnet("", ["10.244.0.0/16"]),
    (error) => isTripodError(error, "exhausted"),
  );
});

test("the default network is written into an empty folder, the subnet stays over restarts, and a user's file is left alone", () => {
  const layout = layoutOf(join(dir, "a"));
  const subnet = preparePodNetwork(layout, undefined);
  assert.deepEqual(readdirSync(layout.cniConfDir), ["99-tripod.conflist"]);
  assert.equal(preparePodNetwork(layout, undefined), subnet);
  const own = layoutOf(join(dir, "b"));
  mkdirSync(own.cniConfDir, { recursive: true });
  writeFileSync(join(own.cniConfDir, "10-mine.conf"), "{}");
  preparePodNetwork(own, "10.9.0.0/24");
  assert.deepEqual(readdirSync(own.cniConfDir), ["10-mine.conf"]);
});
