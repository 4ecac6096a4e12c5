import assert from "node:assert/strict";
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { silentLogger } from "@tripod/base";
import { TemporaryFolder } from "@tripod/linux/testing";
import { readConfDir } from "./conf-dir.ts";
import { ConfWatch, type NetworkStatus } from "./conf-watch.ts";

const conflist = (name: string, more: object = {}): string =>
  JSON.stringify({ name, plugins: [{ type: "bridge" }], ...more });

/** Waits for the first status, from now on, that `wanted` accepts. */
const until = (watch: ConfWatch, wanted: (status: NetworkStatus) => boolean): Promise<NetworkStatus> =>
  new Promise((resolve) => {
    const off = watch.onChange((status) => {
      if (!wanted(status)) return;
      off();
      resolve(status);
    });
    if (wanted(watch.status)) {
      off();
      resolve(watch.status);
    }
  });

test("the first file by name counts, whatever its extension, and a wrong one is not passed over", async () => {
  using dir = new TemporaryFolder("conf");
  await assert.rejects(readConfDir(dir.path), { code: "not-found" });
  await assert.rejects(readConfDir(dir.join("absent")), { code: "not-found" });
  writeFileSync(dir.join("20-b.conflist"), conflist("b"));
  writeFileSync(dir.join("10-a.json"), JSON.stringify({ name: "a", type: "loopback" }));
  writeFileSync(dir.join("00-readme.txt"), "no configuration");
  assert.equal((await readConfDir(dir.path)).name, "a");
  writeFileSync(dir.join("05-c.conflist"), '{\n"name": }');
  await assert.rejects(readConfDir(dir.path), { message: /05-c\.conflist:2:9: not JSON/ });
});

test("of a .conf and a .conflist for one network the list wins", async () => {
  using dir = new TemporaryFolder("conf");
  writeFileSync(dir.join("10-a.conf"), JSON.stringify({ name: "a", type: "loopback" }));
  writeFileSync(dir.join("10-a.conflist"), conflist("a"));
  assert.deepEqual(
    (await readConfDir(dir.path)).plugins.map(({ type }) => type),
    ["bridge"],
  );
});

test("plugins in the network's own folder follow the inlined ones, unless only those are wanted", async () => {
  using dir = new TemporaryFolder("conf");
  writeFileSync(dir.join("a.conflist"), conflist("a"));
  mkdirSync(dir.join("a"));
  writeFileSync(dir.join("a", "20.conf"), '{"type":"tuning"}');
  writeFileSync(dir.join("a", "10.conf"), '{"type":"portmap"}');
  assert.deepEqual(
    (await readConfDir(dir.path)).plugins.map(({ type }) => type),
    ["bridge", "portmap", "tuning"],
  );
  writeFileSync(dir.join("a.conflist"), conflist("a", { loadOnlyInlinedPlugins: true }));
  assert.deepEqual(
    (await readConfDir(dir.path)).plugins.map(({ type }) => type),
    ["bridge"],
  );
  writeFileSync(dir.join("a.conflist"), '{"name":"empty"}');
  await assert.rejects(readConfDir(dir.path), { message: /a\.conflist:1:1: network empty has no plugins/ });
});

test("a folder that does not exist yet is made, and every change in it is followed", async () => {
  using dir = new TemporaryFolder("conf");
  const conf = dir.join("cni", "net.d");
  await using watch = new ConfWatch(conf, silentLogger);
  assert.equal(watch.status.ready, false);
  await watch.start();
  assert.match(watch.status.ready ? "" : watch.status.reason, /no network configuration in .*net\.d/);

  writeFileSync(`${conf}/10-a.conflist.new`, conflist("a"));
  renameSync(`${conf}/10-a.conflist.new`, `${conf}/10-a.conflist`);
  assert.ok((await until(watch, ({ ready }) => ready)).ready);

  writeFileSync(`${conf}/10-a.conflist`, '{\n"name": "a",\n"plugins": 7 }');
  const broken = await until(watch, (status) => !status.ready && status.reason.includes("plugins"));
  assert.match(broken.ready ? "" : broken.reason, /10-a\.conflist:3:12: network: "plugins" is 7/);

  writeFileSync(`${conf}/10-a.conflist`, conflist("b"));
  await until(watch, (status) => status.ready && status.network.name === "b");

  mkdirSync(`${conf}/b`);
  writeFileSync(`${conf}/b/10.conf`, '{"type":"portmap"}');
  await until(watch, (status) => status.ready && status.network.plugins.length === 2);

  rmSync(conf, { recursive: true });
  await until(watch, ({ ready }) => !ready);
  while (!existsSync(conf)) await new Promise((resolve) => setImmediate(resolve)); // made again once its end was noticed
  writeFileSync(`${conf}/10-c.conflist`, conflist("c"));
  await until(watch, (status) => status.ready && status.network.name === "c");
});
