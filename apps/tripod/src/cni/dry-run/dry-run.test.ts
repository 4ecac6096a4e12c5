import assert from "node:assert/strict";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type CommandResult, runCommand } from "@tripod/base";
import type { JsonObject } from "@tripod/cni";
import { onFreshHost, Uplink } from "@tripod/cni/testing";
import { openRtnetlink } from "@tripod/linux";
import { FreshNetns } from "@tripod/linux/testing";
import { tempRoot } from "@tripod/testing";
import type { DryRun } from "./dry-run.ts";
import { changeBetween, networkFacts } from "./network-facts.ts";

const tripod = join(import.meta.dirname, "../../../../../tripod");
const here = "/proc/self/ns/net";

/** A network of these plugins, and `tripod cni` bound to it. */
function network(root: string, plugins: readonly JsonObject[]): (...args: string[]) => Promise<CommandResult> {
  for (const folder of ["net.d", "cache", "pool"]) mkdirSync(join(root, folder), { recursive: true });
  const list = { cniVersion: "1.1.0", name: "net", plugins };
  writeFileSync(join(root, "net.d/10-net.conflist"), JSON.stringify(list));
  const folders = ["--conf-dir", `${root}/net.d`, "--cache-dir", `${root}/cache`, "--bin-dir", `${root}/bin`];
  return (...args) => runCommand(tripod, ["cni", ...args, ...folders], { okExitCodes: "any" });
}

const ipamIn = (root: string): JsonObject => ({
  type: "host-local",
  dataDir: join(root, "pool"),
  ranges: [[{ subnet: "10.99.0.0/24" }], [{ subnet: "fd99::/64" }]],
});
const planOf = ({ exitCode, stdout, stderr }: CommandResult): DryRun => {
  assert.equal(exitCode, 0, stderr.toString());
  return JSON.parse(stdout.toString()) as DryRun; // as dryRun() returned it
};
const filesIn = (root: string): readonly string[] =>
  ["cache", "pool"].flatMap((folder) => readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }));

if (onFreshHost(import.meta.url)) {
  const uplink = new Uplink();
  test.after(() => uplink[Symbol.dispose]());
  const ports =
    '{"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}],"bandwidth":{"ingressRate":1000000,"ingressBurst":100000,"egressRate":2000000,"egressBurst":100000}}';
  const chains: Readonly<Record<string, (ipam: JsonObject) => readonly JsonObject[]>> = {
    "bridge, portmap, bandwidth, firewall": (ipam) => [
      { type: "bridge", bridge: "dry0", isDefaultGateway: true, ipMasq: true, ipam },
      { type: "portmap", capabilities: { portMappings: true } },
      { type: "bandwidth", capabilities: { bandwidth: true } },
      { type: "firewall" },
    ],
    "ptp, tuning, sbr": (ipam) => [
      { type: "ptp", ipMasq: true, ipam },
      { type: "tuning", sysctl: { "net.ipv4.conf.eth0.arp_filter": "1" }, mtu: 1400, dataDir: "/run/cni/tuning-dry" },
      { type: "sbr" },
    ],
    "macvlan on hardware": (ipam) => [{ type: "macvlan", master: "uplink", ipam }],
    "an interface of the host, lent": (ipam) => [{ type: "host-device", device: "uplink", ipam }],
  };

  for (const [name, plugins] of Object.entries(chains)) {
    test(`${name}: --dry-run tells what add and del then do, and does nothing`, async () => {
      await using root = tempRoot();
      using netns = new FreshNetns();
      const cni = network(root.path, plugins(ipamIn(root.path)));
      const words = ["web", "--netns", netns.path, "--capability-args", ports];
      for (const command of ["add", "del"]) {
        const before = { host: networkFacts(here), container: networkFacts(netns.path), files: filesIn(root.path) };
        const plan = planOf(await cni(command, ...words, "--dry-run", "--json"));
        const untouched = { host: networkFacts(here), container: networkFacts(netns.path), files: filesIn(root.path) };
        assert.deepEqual(untouched, before);
        const { exitCode, stderr } = await cni(command, ...words);
        assert.equal(exitCode, 0, stderr.toString());
        assert.deepEqual(plan.host, changeBetween(before.host, networkFacts(here)));
        assert.deepEqual(plan.container, changeBetween(before.container, networkFacts(netns.path)));
        assert.deepEqual(plan.notCopied, []);
        const record = join(root.path, "pool/net/10.99.0.2");
        assert.ok(plan.files[command === "add" ? "added" : "removed"].includes(record), JSON.stringify(plan.files));
        if (command === "add") assert.match(JSON.stringify(plan.result), new RegExp(`"sandbox":"${netns.path}"`));
      }
    });
  }

  test("as text: a section for the host, the container and the records", async () => {
    await using root = tempRoot();
    using netns = new FreshNetns();
    const cni = network(root.path, [{ type: "bridge", bridge: "dry2", isGateway: true, ipam: ipamIn(root.path) }]);
    const { stdout } = await cni("add", "web", "--netns", netns.path, "--dry-run");
    const lines = stdout.toString().split("\n");
    for (const line of [
      "HOST",
      "  + link dry2 bridge mtu 1500 up",
      "  + address 10.99.0.1/24 on dry2",
      `CONTAINER ${netns.path}`,
      "  + address 10.99.0.2/24 on eth0",
      "FILES",
      `  + ${root.path}/pool/net/10.99.0.2`,
    ])
      assert.ok(lines.includes(line), `${line}\n${lines.join("\n")}`);
    const { stdout: nothing } = await cni("del", "web", "--netns", netns.path, "--dry-run");
    assert.match(nothing.toString(), /^HOST\n {2}nothing\nCONTAINER .*\n {2}nothing\n/);
  });

  test("what would fail says why, and that nothing was changed", async () => {
    await using root = tempRoot();
    using netns = new FreshNetns();
    using host = openRtnetlink();
    host.linkAdd({ kind: "bridge", name: "dry1", up: true });
    host.addressAdd({ index: host.linkByName("dry1").index, address: "10.1.1.1/24" });
    const cni = network(root.path, [{ type: "bridge", bridge: "dry1", isGateway: true, ipam: ipamIn(root.path) }]);
    const { exitCode, stderr } = await cni("add", "web", "--netns", netns.path, "--dry-run");
    assert.equal(exitCode, 1);
    assert.match(stderr.toString(), /dry1 has the address 10\.1\.1\.1\/24.*\n.*nothing was changed/s);
    host.linkDelete("dry1");
    assert.deepEqual(filesIn(root.path), []);
  });

  test("plugins whose doings cannot be held back are refused", async () => {
    await using root = tempRoot();
    using netns = new FreshNetns();
    const rows = [
      [{ type: "calico" }, /what calico does beyond the network is not known/],
      [{ type: "bridge", ipam: { type: "dhcp" } }, /only that server knows/],
    ] as const;
    for (const [plugin, why] of rows) {
      const cni = network(root.path, [plugin]);
      const { exitCode, stderr } = await cni("add", "web", "--netns", netns.path, "--dry-run");
      assert.equal(exitCode, 1);
      assert.match(stderr.toString(), why);
    }
  });
}
