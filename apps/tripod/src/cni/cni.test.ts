import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type CommandResult, runCommand } from "@tripod/base";
import type { NetworkView } from "@tripod/cni";
import { onFreshHost } from "@tripod/cni/testing";
import { FreshNetns } from "@tripod/linux/testing";
import { tempRoot } from "@tripod/testing";

const tripod = join(import.meta.dirname, "../../../../tripod");

/** A configuration folder with a bridge that delegates to host-local, and a command bound to it. */
function network(root: string): {
  confDir: string;
  conflist: string;
  cni: (...args: string[]) => Promise<CommandResult>;
} {
  const confDir = join(root, "net.d");
  mkdirSync(confDir);
  const ipam = { type: "host-local", dataDir: join(root, "pool"), ranges: [[{ subnet: "10.99.0.0/24" }]] };
  const plugins = [{ type: "bridge", bridge: "br-cli", isGateway: true, ipam }];
  const conflist = join(confDir, "10-net.conflist");
  writeFileSync(conflist, JSON.stringify({ cniVersion: "1.1.0", name: "net", plugins }));
  const folders = ["--conf-dir", confDir, "--cache-dir", join(root, "cache"), "--bin-dir", join(root, "bin")];
  return {
    confDir,
    conflist,
    cni: (...args) => runCommand(tripod, ["cni", ...args, ...folders], { okExitCodes: "any" }),
  };
}

if (onFreshHost(import.meta.url)) {
  test("--trace shows what goes into each plugin and what comes out, delegates inside, and errors", async () => {
    await using root = tempRoot();
    const { cni, conflist } = network(root.path);
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
    writeFileSync(conflist, readFileSync(conflist, "utf8").replace('"br-cli"', '"br-cli","mtu":"x"'));
    const failed = await cni("add", "blue", "--netns", netns.path, "--trace");
    assert.equal(failed.exitCode, 1);
    assert.match(failed.stderr.toString(), /^ {2}error {3}bridge configuration: "mtu" is "x"/m);
  });

  test("lint finds what is wrong, where, and says so to people and to programs", async () => {
    await using root = tempRoot();
    const { confDir, cni } = network(root.path);
    const good = await cni("lint");
    assert.deepEqual([good.exitCode, good.stdout.toString()], [0, "1 file: 0 errors, 0 warnings\n"]);
    const files: Record<string, string> = {
      "20-keys.conflist": `{ "cniVersion": "1.1.0", "name": "keys", "plugins": [
  { "type": "bridge", "isGatway": true, "ipam": {
    "type": "host-local", "subnet": "10.1.0.0/33" } },
  { "type": "portmap", "snat": 7 },
  { "type": "absent" } ] }`,
      "30-same.conf": `{ "cniVersion": "0.4.0", "name": "keys", "type": "loopback" }`,
      "40-version.conf": `{ "cniVersion": "7.0.0",
  "name": "v", "type": "loopback" }`,
      "50-syntax.conf": `{ "name": "x",\n }`,
    };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(confDir, name), text);
    const found = await cni("lint");
    assert.equal(found.exitCode, 1);
    const lines = found.stdout.toString().trim().split("\n");
    const wanted = [
      /20-keys\.conflist:2:35: warning: bridge has no key "isGatway"; nobody heeds it$/,
      /20-keys\.conflist:2:49: error: .*10\.1\.0\.0\/33/,
      /20-keys\.conflist:4:32: error: portmap configuration: "snat" is 7, which is not true or false$/,
      /20-keys\.conflist:5:13: error: plugin absent: no such executable in .*; install it there$/,
      /30-same\.conf:1:34: warning: network keys is that of .*20-keys\.conflist, which counts$/,
      /40-version\.conf:1:17: error: no version here is one that Tripod speaks/,
      /50-syntax\.conf:2:2: error: not JSON/,
      /^5 files: 5 errors, 2 warnings$/,
    ];
    assert.deepEqual(lines.length, wanted.length, lines.join("\n"));
    for (const [index, pattern] of wanted.entries()) assert.match(lines[index] ?? "", pattern);
    const file = join(confDir, "20-keys.conflist");
    writeFileSync(file, readFileSync(file, "utf8").replace("/33", "/24"));
    const one = await cni("lint", file, "--json");
    const { findings } = JSON.parse(one.stdout.toString()) as { findings: { severity: string; message: string }[] }; // checked below
    assert.deepEqual(findings[0], {
      severity: "warning",
      file,
      line: 2,
      column: 35,
      message: 'bridge has no key "isGatway"; nobody heeds it',
    });
  });

  test("net show has the host's links, each attachment's, and the rules that serve it; as text, JSON and a graph", async () => {
    await using root = tempRoot();
    const { conflist, cni } = network(root.path);
    writeFileSync(
      conflist,
      readFileSync(conflist, "utf8").replace('"isGateway":true', '"isDefaultGateway":true,"ipMasq":true'),
    );
    const show = (...args: string[]): Promise<CommandResult> =>
      runCommand(tripod, ["net", "show", "--cache-dir", join(root.path, "cache"), ...args]);
    using netns = new FreshNetns();
    const pod = ["--args", "K8S_POD_NAMESPACE=default", "K8S_POD_NAME=web"];
    const added = await cni("add", "blue", "--netns", netns.path, ...pod);
    assert.equal(added.exitCode, 0, added.stderr.toString());
    const text = (await show()).stdout.toString();
    for (const line of [
      /^ {2}br-cli +bridge +up +10\.99\.0\.1\/24/m,
      /^ {2}veth\w+ +veth +up +\S* *in br-cli$/m,
      /^ {2}default\/web {2}network net {2}\//m,
      /^ {4}eth0 +veth +up +10\.99\.0\.2\/24.* on veth\w+$/m,
      /^ {4}route default via 10\.99\.0\.1 dev eth0$/m,
      /^ {2}default\/web {2}inet cni_plugins_masquerade {2}masq_checks {2}ip saddr 10\.99\.0\.2 .*masquerade$/m,
    ])
      assert.match(text, line);
    const view = JSON.parse((await show("--json")).stdout.toString()) as NetworkView; // what networkView() gives
    assert.deepEqual(
      view.attachments.map(({ pod, state, links }) => [pod, state, links.map(({ name }) => name)]),
      [["default/web", "attached", ["eth0"]]],
    );
    assert.deepEqual(
      view.rules.map(({ attachments }) => attachments),
      [["blue/eth0"]],
    );
    const graph = (await show("--dot")).stdout.toString();
    assert.match(
      graph,
      /^graph network \{[^]*"blue\/eth0" -- "host\/veth\w+";[^]*"host\/veth\w+" -- "host\/br-cli";\n\}\n$/,
    );
    await cni("del", "blue", "--netns", netns.path);
    assert.deepEqual((JSON.parse((await show("--json")).stdout.toString()) as NetworkView).attachments, []);
  });
}
