import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { waitForExit } from "@tripod/linux";
import { tempRoot } from "@tripod/testing";
import { isAlive } from "../container/process.ts";
import type { ProcessIdentity } from "../records/container-record.ts";
import { endLeftPlugins, installedPlugins, launchPlugin } from "./launch.ts";

test("a plugin that does not go when its server is killed is ended by the next one", async () => {
  await using root = tempRoot();
  const [dir, records] = [join(root.path, "plugins"), join(root.path, "run")];
  mkdirSync(dir);
  for (const [name, mode] of [
    ["10-deaf", 0o755],
    ["11-plain-file", 0o644],
    ["9-wrong", 0o755],
    ["readme", 0o755],
  ] as const) {
    writeFileSync(join(dir, name), "#!/bin/sh\nexec sleep 1000\n");
    chmodSync(join(dir, name), mode);
  }
  writeFileSync(join(dir, "deaf.conf"), "for any index");
  const [plugin, ...others] = installedPlugins(dir, dir);
  assert.deepEqual(others, []);
  assert.equal(plugin?.config, "for any index");
  using launched = launchPlugin(plugin, records);
  const started = JSON.parse(readFileSync(join(records, "10-deaf"), "utf8")) as ProcessIdentity; // launchPlugin()'s
  assert.ok(isAlive(started));
  launched.trunk.destroy(); // as when the server is killed
  const ended = waitForExit(started.pid);
  endLeftPlugins(records);
  await ended;
  assert.ok(!isAlive(started));
  endLeftPlugins(records); // once more finds nothing
});
