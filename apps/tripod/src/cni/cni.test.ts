import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type CommandResult, runCommand } from "@tripod/base";
import { onFreshHost } from "@tripod/cni/testing";
import { FreshNetns } from "@tripod/linux/testing";
import { tempRoot } from "@tripod/testing";

const tripod = join(import.meta.dirname, "../../../../tripod");

/** A configuration folder with a bridge that delegates to host-local, and a command bound to it. */
function network(root: string): { confDir: string; cni: (...args: string[]) => Promise<CommandResult> } {
  const confDir = join(root, "net.d");
  mkdirSync(confDir);
  const ipam = { type: "host-local", dataDir: join(root, "pool"), ranges: [[{ subnet: "10.99.0.0/24" }]] };
  const plugins = [{ type: "bridge", bridge: "br-cli", isGateway: true, ipam }];
  writeFileSync(join(confDir, "10-net.conflist"), JSON.stringify({ cniVersion: "1.1.0", name: "net", plugins }));
  const folders = ["--conf-dir", confDir, "--cache-dir", join(root, "cache"), "--bin-dir", join(root, "bin")];
  return { confDir, cni: (...args) => runCommand(tripod, ["cni", ...args, ...folders], { okExitCodes: "any" }) };
}

if (onFreshHost(import.meta.url)) {
  test("--trace shows what goes into each plugin and what comes out, delegates inside, and errors", async () => {
    await using root = tempRoot();
    const { cni } = network(root.path);
    using netns = new FreshNetns();
    const added = await cni("add", "blue", "--netns", netns.path, "--trace");
    assert.equal(added.exitCode, 0, added.stderr.toString());
    assert.match(added.stdout.toString(), /^address {2}10\.99\.0\.2\/24/);
    const shown = added.stderr.toString().replaceAll(/\d+\.\d ms/g, "N ms");
    const lines = shown
      .trim()
      .split("\n")
      .map((line) => line.slice(0, 34).trimEnd());
    assert.deepEqual(lines, [
      "> bridge ADD  in process",
      "  CNI_COMMAND=ADD CNI_CONTAINERID=",
      '  stdin   {"type":"bridge","bridge',
      "  > host-local ADD  in process",
      "    CNI_COMMAND=ADD CNI_CONTAINERI",
      '    stdin   {"type":"bridge","brid',
      "  < host-local ADD  N ms",
      '    stdout  {"cniVersion":"1.1.0",',
      "< bridge ADD  N ms",
      '  stdout  {"cniVersion":"1.1.0","i',
    ]);
    const again = await cni("del", "blue", "--netns", netns.path, "--trace", "--json");
    const events = again.stderr
      .toString()
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { event: string; type: string; depth: number }); // checked below
    assert.deepEqual(
      events.map(({ event, type, depth }) => `${event} ${type} ${depth}`),
      ["call bridge 0", "call host-local 1", "end host-local 1", "end bridge 0"],
    );
    const failed = await cni("check", "blue", "--netns", netns.path, "--trace");
    assert.equal(failed.exitCode, 1);
  });
}
