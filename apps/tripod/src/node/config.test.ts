import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { after, test } from "node:test";
import { isTripodError, layoutOf } from "@tripod/base";
import { loadConfig } from "./config.ts";

const dir = mkdtempSync("/tmp/tripod-config-");
after(() => rmSync(dir, { recursive: true }));
const layout = layoutOf(dir);
mkdirSync(layout.etcDir);

test("no file is as good as an empty one", () => {
  assert.deepEqual(loadConfig(layout), { logLevel: "info", apiserver: {}, network: {} });
  writeFileSync(layout.configFile, "");
  assert.deepEqual(loadConfig(layout), { logLevel: "info", apiserver: {}, network: {} });
});

const bad: [why: string, text: string, message: RegExp][] = [
  ["a key that does not exist", "apiserver: {prot: 1}", /config\.yaml: apiserver\.prot: there is no such setting/],
  ["a port out of range", "apiserver: {port: 70000}", /apiserver\.port/],
  ["a subnet that is none", "network: {podCidr: 10.0.0.0}", /network\.podCidr: must be an IPv4 subnet/],
  ["text that is no YAML", "a: [1,\nb: 2", /config\.yaml:2/],
  ["a list", "- a", /config\.yaml/],
];
for (const [why, text, message] of bad) {
  test(`a wrong configuration is refused: ${why}`, () => {
    writeFileSync(layout.configFile, text);
    assert.throws(
      () => loadConfig(layout),
      (error) => isTripodError(error, "invalid") && message.test(error.message),
    );
  });
}
