import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { parseNetworkConfig } from "./network-config.ts";
import { ResultCache } from "./result-cache.ts";

const dir = mkdtempSync("/tmp/tripod-cni-cache-");
after(() => rmSync(dir, { recursive: true }));

test("what a kill left half-written goes with the attachment", async () => {
  const cache = new ResultCache(dir);
  const key = { containerId: "c1", ifname: "eth0" };
  const network = parseNetworkConfig("test", '{"cniVersion":"1.1.0","name":"net","plugins":[{"type":"bridge"}]}');
  mkdirSync(join(dir, "results"), { recursive: true });
  writeFileSync(join(dir, "results/net-c1-eth0.tmp"), '{"kind":"cniCac');
  assert.deepEqual(await cache.list(), []);
  cache.put({ ...key, network, netns: "/run/netns/x", args: [], capabilityArgs: {} });
  assert.equal((await cache.list()).length, 1);
  writeFileSync(join(dir, "results/net-c1-eth0.tmp"), '{"kind":"cniCac');
  await cache.remove("net", key);
  assert.deepEqual(readdirSync(join(dir, "results")), []);
});
