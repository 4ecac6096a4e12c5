import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { cniCodes, isJsonObject, pluginOutcome } from "@tripod/cni";
import { networkSnapshot, onFreshHost, snapshotDifferences } from "@tripod/cni/testing";
import { FreshNetns, TemporaryFolder } from "@tripod/linux/testing";
import { seededRandom } from "@tripod/testing";
import { installPlugins } from "./install-plugins.ts";
import { ownPlugins } from "./plugins.ts";

/** Standard input that no plugin may take, whatever it is for. */
const badInput: readonly { readonly why: string; readonly text: string | Buffer }[] = [
  { why: "nothing", text: "" },
  { why: "no JSON", text: "}{" },
  { why: "cut off", text: '{"cniVersion":"1.1.0","name":"net"' },
  { why: "a NUL inside", text: '{"cniVersion":"1.1.0",\0"name":"net"}' },
  { why: "no UTF-8", text: Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0xc0, 0x80, 0x22, 0x7d]) },
  { why: "a list", text: "[]" },
  { why: "null", text: "null" },
  { why: "a number", text: "1e999" },
  { why: "no name", text: '{"cniVersion":"1.1.0"}' },
  { why: "a name of the wrong type", text: '{"cniVersion":"1.1.0","name":{"a":1}}' },
  { why: "a name out of the folder", text: '{"cniVersion":"1.1.0","name":"../../etc"}' },
  { why: "a name with a NUL", text: '{"cniVersion":"1.1.0","name":"a\\u0000b"}' },
  { why: "a name by the prototype", text: '{"cniVersion":"1.1.0","__proto__":{"name":"net"}}' },
  { why: "a version of the wrong type", text: '{"cniVersion":11,"name":"net"}' },
  { why: "a version that is none", text: '{"cniVersion":"1.1.0; rm","name":"net"}' },
  { why: "a version to come", text: '{"cniVersion":"99.0.0","name":"net"}' },
  { why: "lists in lists", text: `${"[".repeat(100_000)}${"]".repeat(100_000)}` },
  { why: "objects in objects without an end", text: '{"a":'.repeat(100_000) },
  { why: "16 MiB of a name", text: `{"cniVersion":"1.1.0","name":"../${"a".repeat(2 ** 24)}"}` },
  { why: "a result of the wrong type", text: '{"cniVersion":"1.1.0","name":"net","prevResult":[1]}' },
];

/** Environments that no plugin may take: each instead of good ones. */
const badEnvironment: readonly { readonly why: string; readonly env: Readonly<Record<string, string>> }[] = [
  { why: "an unknown command", env: { CNI_COMMAND: "__proto__" } },
  { why: "a command in the wrong case", env: { CNI_COMMAND: "add" } },
  { why: "a long command", env: { CNI_COMMAND: "A".repeat(100_000) } },
  { why: "an interface out of its folder", env: { CNI_IFNAME: "../../x" } },
  { why: "an interface called ..", env: { CNI_IFNAME: ".." } },
  { why: "an interface with a space", env: { CNI_IFNAME: "eth 0" } },
  { why: "an interface with a colon", env: { CNI_IFNAME: "eth:0" } },
  { why: "a long interface", env: { CNI_IFNAME: "e".repeat(16) } },
  { why: "a container out of its folder", env: { CNI_CONTAINERID: "../../x" } },
  { why: "a container of two lines", env: { CNI_CONTAINERID: "a\nb" } },
  { why: "a namespace that is a folder", env: { CNI_NETNS: "/proc" } },
  { why: "a namespace that is a file", env: { CNI_NETNS: "/etc/passwd" } },
  { why: "a namespace of another kind", env: { CNI_NETNS: "/proc/self/ns/uts" } },
  { why: "a namespace that is a device", env: { CNI_NETNS: "/dev/zero" } },
  { why: "a namespace with a long name", env: { CNI_NETNS: `/${"n".repeat(10_000)}` } },
  { why: "arguments that are no pairs", env: { CNI_ARGS: "a;b;=c" } },
];

const ipam = { type: "static", addresses: [{ address: "10.1.0.2/24" }] };
/** What the plugins must have that do not do with a name: so that nothing but the environment is wrong. */
const least: Readonly<Record<string, object>> = {
  bridge: { ipam },
  ptp: { ipam },
  dummy: { ipam },
  macvlan: { master: "lo", ipam },
  ipvlan: { master: "lo", ipam },
  vlan: { master: "lo", vlanId: 5, ipam },
  "host-device": { device: "lo" },
  "host-local": { ipam: { type: "host-local", subnet: "10.1.0.0/24", dataDir: "/proc/none" } },
  static: { ipam },
  vrf: { vrfname: "blue" },
};
const good = (type: string): string =>
  JSON.stringify({ cniVersion: "1.1.0", name: "net", type, prevResult: { cniVersion: "1.1.0" }, ...least[type] });

/** Asserts that what a plugin printed is an error as the specification has it, small, and no fault of the plugin's own. */
function assertError(stdout: string, what: string): void {
  assert.ok(stdout.length < 100_000, `${what}: ${stdout.length} characters of error`);
  const error: unknown = JSON.parse(stdout);
  assert.ok(isJsonObject(error), `${what}: ${stdout}`);
  assert.ok(typeof error.msg === "string", `${what}: ${stdout}`);
  assert.ok(typeof error.code === "number" && error.code > 0, `${what}: ${stdout}`);
  assert.notEqual(error.code, cniCodes.internal, `${what}: ${stdout}`);
  assert.doesNotMatch(error.msg, /is not a function|undefined \(|call stack/, what);
}

if (onFreshHost(import.meta.url)) {
  const environment = (netns: string): Record<string, string> => ({
    CNI_COMMAND: "ADD",
    CNI_CONTAINERID: "hostile",
    CNI_NETNS: netns,
    CNI_IFNAME: "eth0",
    CNI_PATH: "/nonexistent",
  });

  for (const { name } of ownPlugins.values()) {
    test(`${name}: hostile input and environment are refused with a code, and change nothing`, async () => {
      using netns = new FreshNetns();
      const host = networkSnapshot();
      const container = networkSnapshot({ netns: netns.path });
      const refuses = async (why: string, env: Record<string, string>, text: string): Promise<void> => {
        const { exitCode, stdout } = await pluginOutcome(ownPlugins, { name, env, readStdin: () => text });
        assert.equal(exitCode, 1, `${why}: taken: ${stdout.slice(0, 200)}`);
        assertError(stdout, `${name}: ${why}`);
      };
      for (const { why, text } of badInput) await refuses(why, environment(netns.path), String(text));
      for (const { why, env } of badEnvironment) await refuses(why, { ...environment(netns.path), ...env }, good(name));
      assert.deepEqual(snapshotDifferences(host, networkSnapshot()), []);
      assert.deepEqual(snapshotDifferences(container, networkSnapshot({ netns: netns.path })), []);
    });
  }

  test("bridge: DEL takes a namespace of another kind for one that is gone", async () => {
    const env = { ...environment("/proc/self/ns/uts"), CNI_COMMAND: "DEL" };
    const process = { name: "bridge", env, readStdin: () => good("bridge") };
    assert.deepEqual(await pluginOutcome(ownPlugins, process), { exitCode: 0, stdout: "", stderr: "" });
  });

  test("executables refuse hostile input and environment as the plugins do in process", async (context) => {
    using folder = new TemporaryFolder("cni-hostile");
    using netns = new FreshNetns();
    const binDir = folder.join("bin");
    await installPlugins(binDir);
    const host = networkSnapshot();
    const seed = 20_261_126;
    context.diagnostic(`seed ${seed}`);
    const random = seededRandom(seed);
    const names = [...ownPlugins.keys()];
    const refuses = (name: string, why: string, env: Record<string, string>, input: string | Buffer): void => {
      const { status, stdout } = spawnSync(`${binDir}/${name}`, { env, input, encoding: "utf8", timeout: 60_000 });
      assert.equal(status, 1, `${name}: ${why}: ${stdout.slice(0, 200)}`);
      assertError(stdout, `${name}: ${why}`);
    };
    for (const { why, text } of badInput) refuses(random.pick(names), why, environment(netns.path), text);
    for (const { why, env } of badEnvironment) {
      const name = random.pick(names);
      refuses(name, why, { ...environment(netns.path), ...env }, good(name));
    }
    assert.deepEqual(snapshotDifferences(host, networkSnapshot()), []);
  });
}
