import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand } from "@tripod/base";
import { ownPlugins } from "@tripod/plugin-bundle";
import { tempRoot } from "@tripod/testing";
import { pluginManual } from "./plugin-manual.ts";

const tripod = join(import.meta.dirname, "../../../../tripod");
const explain = (...words: string[]) => runCommand(tripod, ["cni", "explain", ...words], { okExitCodes: "any" });

test("every plugin that has keys says what each means", () => {
  for (const name of ownPlugins.keys()) {
    const { summary, keys } = pluginManual(name);
    assert.match(summary, /^[A-Z].*\.$/, name);
    if (name !== "loopback") assert.ok(keys.length > 0, name);
    for (const { keys: named, what } of keys) assert.ok(named.length > 0 && what !== "", `${name} ${named.join()}`);
  }
});

test("a plugin, and a key of one", async () => {
  const whole = (await explain("bridge")).stdout.toString();
  assert.match(whole, /^bridge: Connects containers to a Linux bridge/);
  assert.match(whole, /^ {2}bridge +the bridge's name; it is made when absent; cni0 unless told$/m);
  assert.match(whole, /^ {2}mac \(capability\) /m);
  const one = (await explain("host-local.DATADIR")).stdout.toString();
  assert.equal(one.trim().split("\n").length, 2);
  assert.match(one, /dataDir \(of ipam\) +the folder of the reservations; \/var\/lib\/cni\/networks unless told/);
  const json: unknown = JSON.parse((await explain("sbr.table", "--json")).stdout.toString());
  assert.ok(typeof json === "object" && json !== null && "name" in json);
  assert.equal(json.name, "sbr");
});

test("what there is not, is named with what there is", async () => {
  const noKey = await explain("bridge.colour");
  assert.equal(noKey.exitCode, 1);
  assert.match(noKey.stderr.toString(), /bridge has no such key; it has bridge, isGateway/);
  const noPlugin = await explain("calico");
  assert.equal(noPlugin.exitCode, 1);
  assert.match(noPlugin.stderr.toString(), /none of Tripod's plugins, which are loopback, bridge/);
});

test("the configured network, plugin by plugin, with the meaning of what each is told", async () => {
  await using root = tempRoot();
  const confDir = join(root.path, "net.d");
  mkdirSync(confDir);
  const ipam = { type: "host-local", ranges: [[{ subnet: "10.99.0.0/24" }]] };
  const plugins = [
    { type: "bridge", bridge: "pods0", isGateway: true, ipam },
    { type: "portmap", capabilities: { portMappings: true } },
  ];
  writeFileSync(join(confDir, "10-net.conflist"), JSON.stringify({ cniVersion: "1.1.0", name: "pods", plugins }));
  const { stdout, stderr } = await explain("--conf-dir", confDir, "--bin-dir", join(root.path, "bin"));
  const lines = stdout.toString().split("\n");
  for (const line of [
    `network pods, CNI 1.1.0, of ${confDir}`,
    "1. bridge  (in process)",
    "    isGateway = true  the bridge gets the gateway's addresses",
    "   addresses by host-local  (in process)",
    "2. portmap  (in process)",
    "    is handed portMappings of each container, where the runtime has it",
  ])
    assert.ok(lines.includes(line), `${line}\n${lines.join("\n")}${stderr.toString()}`);
});
