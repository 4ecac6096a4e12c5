import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultConflist } from "./default-conflist.ts";
import { networkConfigToJson, parseNetworkConfig } from "./network-config.ts";

const parse = (text: string) => parseNetworkConfig("/etc/cni/net.d/10-a.conflist", text);

test("a configuration list is read, with capabilities and booleans spelled as strings", () => {
  const network = parse(`{
    "cniVersion": "1.0.0", "name": "a", "disableCheck": "True", "disableGC": false,
    "plugins": [{ "type": "bridge" }, { "type": "portmap", "capabilities": { "portMappings": true, "bandwidth": false } }]
  }`);
  assert.equal(network.cniVersion, "1.0.0");
  assert.equal(network.disableCheck, true);
  assert.equal(network.disableGC, false);
  assert.deepEqual(
    network.plugins.map(({ type }) => type),
    ["bridge", "portmap"],
  );
  assert.deepEqual([...(network.plugins[1]?.capabilities ?? [])], ["portMappings"]);
});

test("a lone plugin is a list of one, and never looks for more plugins", () => {
  const network = parse(`{ "name": "a", "cniVersion": "0.3.1", "type": "loopback" }`);
  assert.equal(network.loadOnlyInlinedPlugins, true);
  assert.deepEqual(
    network.plugins.map(({ type }) => type),
    ["loopback"],
  );
});

test("of cniVersions the newest that Tripod speaks is chosen", () => {
  const version = (text: string): string => parse(`{ "name": "a", ${text} "plugins": [{ "type": "b" }] }`).cniVersion;
  assert.equal(version(`"cniVersions": ["0.4.0", "1.0.0", "2.0.0"],`), "1.0.0");
  assert.equal(version(`"cniVersion": "1.1.0", "cniVersions": ["0.4.0"],`), "1.1.0");
  assert.equal(version(""), "0.1.0");
});

test("what is wrong is told with file, line and column", () => {
  const rows = [
    ["", /10-a\.conflist:1:1: not JSON/],
    ['{\n  "name": "a",\n  "plugins": [ {"type": "x"}, ]\n}', /10-a\.conflist:3:\d+: not JSON/],
    ['{\n "plugins": []\n}', /10-a\.conflist:1:1: network without "name"/],
    ['{\n "name": "a b",\n "plugins": [{"type":"x"}] }', /10-a\.conflist:2:10: network name "a b"/],
    ['{\n "name": 5 }', /10-a\.conflist:2:10: network: "name" is 5/],
    ['{ "name": "a",\n\n "plugins": [{}] }', /10-a\.conflist:3:14: plugin without "type"/],
    [
      '{ "name": "a",\n "plugins": [{"type":"x"},\n {"type":"../sh"}] }',
      /10-a\.conflist:3:10: plugin type "..\/sh" is a path/,
    ],
    [
      '{ "name": "a",\n "plugins": [{"type":"x", "capabilities": {\n"portMappings": 7}}] }',
      /10-a\.conflist:3:17: capabilities: "portMappings" is 7/,
    ],
    ['{ "name": "a", "plugins":\n [] }', /10-a\.conflist:2:2: the list of plugins is empty/],
    ['{ "name": "a", "plugins":\n {} }', /10-a\.conflist:2:2: network: "plugins" is/],
    ['{ "name": "a",\n "cniVersion": "7.0.0", "plugins": [{"type":"x"}] }', /10-a\.conflist:2:16: no version here/],
    ['{ "name": "a",\n "cniVersion": "one", "plugins": [{"type":"x"}] }', /10-a\.conflist:2:16: no version here/],
    ['{ "name": "a",\n "disableGC": "maybe", "plugins": [{"type":"x"}] }', /10-a\.conflist:2:15: network: "disableGC"/],
    ['{ "name": "a",\n "loadOnlyInlinedPlugins": true }', /10-a\.conflist:2:28: only inlined/],
    ["[1]", /10-a\.conflist:1:1: a network configuration is not a JSON object/],
  ] as const;
  for (const [text, why] of rows) assert.throws(() => parse(text), { code: "invalid", message: why }, text);
});

test("the default network and what a cache keeps of it read back alike", () => {
  const text = JSON.stringify(
    defaultConflist({ bridge: "tripod0", subnet: "10.88.0.0/16", dataDir: "/data", mtu: 1400 }),
  );
  const network = parse(text);
  assert.equal(network.name, "tripod0");
  assert.deepEqual(parse(JSON.stringify(networkConfigToJson(network))).plugins, network.plugins);
});
