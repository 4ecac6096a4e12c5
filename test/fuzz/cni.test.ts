import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { test } from "node:test";
import { isJsonObject, type JsonObject, type JsonValue, pluginOutcome } from "@tripod/cni";
import { onFreshHost } from "@tripod/cni/testing";
import { openRtnetlink } from "@tripod/linux";
import { FreshNetns } from "@tripod/linux/testing";
import { ownPlugins } from "@tripod/plugin-bundle";
import { type SeededRandom, seededRandom } from "@tripod/testing";

// TRIPOD_FUZZ_SEED=N repeats a run, TRIPOD_FUZZ_CALLS=N is how many calls each plugin gets.
const seed = Number(process.env.TRIPOD_FUZZ_SEED ?? 20_261_126);
/** A name that no other network has. */
const network = "tripod-fuzz";
const calls = Number(process.env.TRIPOD_FUZZ_CALLS ?? 25);

/** Keys of all plugins with values that one of them takes, and what may stand in their place. */
const plausible: readonly (readonly [string, JsonValue])[] = [
  ["bridge", "br-fuzz"],
  ["master", "uplink"],
  ["device", "uplink"],
  ["vrfname", "blue"],
  ["mode", "bridge"],
  ["mtu", 1400],
  ["mac", "02:00:00:00:00:01"],
  ["vlan", 5],
  ["vlanId", 5],
  ["vlanTrunk", [{ minID: 1, maxID: 5 }]],
  ["table", 100],
  ["gateways", ["10.1.0.1"]],
  ["sysctl", { "net.ipv4.conf.IFNAME.arp_filter": "1" }],
  ["ingressRate", 8_000_000],
  ["ingressBurst", 800_000],
  ["ingressPolicy", "same-bridge"],
  ["delegate", { type: "bridge", bridge: "br-fuzz" }],
  ["snat", true],
  ["conditionsV4", ["-s", "10.0.0.0/8"]],
  ["ipam", { type: "static", addresses: [{ address: "10.1.0.2/24", gateway: "10.1.0.1" }] }],
  ["ipam", { type: "host-local", ranges: [[{ subnet: "10.1.0.0/24" }]] }],
  ["runtimeConfig", { portMappings: [{ hostPort: 80, containerPort: 80, protocol: "tcp" }], mac: "02:00:00:00:00:02" }],
  ["args", { cni: { ips: ["10.1.0.7/24"] } }],
  ["dns", { nameservers: ["10.1.0.1"] }],
  ["capabilities", { portMappings: true }],
  ["cni.dev/valid-attachments", [{ containerID: "a", ifname: "eth0" }]],
  [
    "prevResult",
    {
      cniVersion: "1.1.0",
      interfaces: [{ name: "eth0", sandbox: "/n" }],
      ips: [{ interface: 0, address: "10.1.0.2/24" }],
    },
  ],
];

const hostile = (random: SeededRandom): JsonValue => {
  const deep = JSON.parse(`${"[".repeat(2000)}${"]".repeat(2000)}`) as JsonValue; // brackets
  const plain = [null, true, "", -1, 0.5, 2 ** 53, 1e308, "../../etc/passwd", "a\0b", "\ud800", "x".repeat(100_000)];
  const addresses = ["10.0.0.0/33", "::/129", "999.1.1.1", "fe80::1%lo", "0x7f000001"];
  const commands = ["--help", "$(reboot)", '"; drop table', "ÿ".repeat(40)];
  const lists = [[], [null], [[]], [{}], deep, Array.from({ length: 2000 }, () => ({}))];
  const objects: JsonObject[] = [{}, { type: "../bridge" }, { type: 7 }, { constructor: { prototype: {} } }];
  const values: readonly JsonValue[] = [...plain, ...addresses, ...commands, ...lists, ...objects];
  return random.pick(values);
};

/** Puts something hostile in the place of one value, however deep. */
function spoil(value: JsonValue, random: SeededRandom): JsonValue {
  if (random.next() < 0.4) return hostile(random);
  if (Array.isArray(value)) {
    if (value.length === 0) return hostile(random);
    const at = random.below(value.length);
    return value.map((item: JsonValue, index) => (index === at ? spoil(item, random) : item));
  }
  if (!isJsonObject(value) || Object.keys(value).length === 0) return hostile(random);
  const key = random.pick(Object.keys(value));
  return { ...value, [key]: spoil(value[key] ?? null, random) };
}

/** What JavaScript says of a programming error: nobody who wrote a configuration should have to read it. */
const programmingError =
  /Cannot (read|convert|set)|is not (a function|iterable|defined|a constructor)|Maximum call stack|Invalid (array length|time value)/;

if (onFreshHost(import.meta.url)) {
  // Where host-local keeps its records unless told.
  test.after(() => {
    for (const dir of [network, `.tripod-index/${network}`])
      rmSync(`/var/lib/cni/networks/${dir}`, { recursive: true, force: true });
  });
  for (const plugin of ownPlugins.values()) {
    test(`${plugin.name}: whatever it is given, it answers in JSON, soon, and leaves the host as it was`, async () => {
      const random = seededRandom(seed);
      using host = openRtnetlink();
      const before = host.links().map(({ name }) => name);
      for (let call = 0; call < calls; call += 1) {
        using netns = new FreshNetns();
        const entries = plausible.filter(() => random.next() < 0.6);
        const good: JsonObject = {
          cniVersion: "1.1.0",
          name: network,
          type: plugin.name,
          ...Object.fromEntries(entries),
        };
        const config = spoil(good, random);
        const stdin = random.next() < 0.1 ? JSON.stringify(hostile(random)).slice(1) : JSON.stringify(config);
        const command = random.pick(["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION", "NONSENSE"]);
        const word = (usual: string): string =>
          random.next() < 0.9 ? usual : JSON.stringify(hostile(random)).slice(1, 5000);
        const env = {
          CNI_COMMAND: command,
          CNI_CONTAINERID: word("a"),
          CNI_NETNS: word(netns.path),
          CNI_IFNAME: word("eth0"),
          CNI_ARGS: word("K8S_POD_NAME=web;MAC=02:00:00:00:00:03"),
          CNI_PATH: word("/nonexistent"),
        };
        const run = (as: string) =>
          pluginOutcome(ownPlugins, { name: plugin.name, env: { ...env, CNI_COMMAND: as }, readStdin: () => stdin });
        const startedMs = performance.now();
        const { exitCode, stdout } = await run(command);
        const what = `seed ${seed}, call ${call}: ${command} ${stdin.slice(0, 500)} ${JSON.stringify(env).slice(0, 500)}: ${stdout.slice(0, 500)}`;
        assert.ok(performance.now() - startedMs < 10_000, what);
        if (exitCode !== 0) {
          const answer: unknown = JSON.parse(stdout);
          assert.ok(
            isJsonObject(answer) &&
              Number.isInteger(answer.code) &&
              typeof answer.msg === "string" &&
              answer.msg !== "",
            what,
          );
          assert.doesNotMatch(stdout, programmingError, what);
        }
        if (command === "ADD") await run("DEL");
      }
      for (const { name, kind } of host.links()) if (kind === "bridge" && !before.includes(name)) host.linkDelete(name);
      assert.deepEqual(
        host.links().map(({ name }) => name),
        before,
      );
    });
  }
}
