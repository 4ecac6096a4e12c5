import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Fields, type JsonObject } from "@tripod/cni";
import { ownPlugins } from "./plugins.ts";

const subnet = { subnet: "10.1.0.0/24" };
/** What a plugin's configuration must have. */
const least: Readonly<Record<string, JsonObject>> = {
  bridge: { isDefaultGateway: true, ipam: { type: "host-local" } },
  ptp: { ipam: { type: "host-local" } },
  dummy: { ipam: { type: "host-local" } },
  vlan: { master: "eth0", ipam: { type: "host-local" } },
  ipvlan: { master: "eth0" },
  "host-device": { device: "eth0" },
  "host-local": { ipam: { type: "host-local", ...subnet } },
  static: { ipam: { type: "static", addresses: [{ address: "10.1.0.2/24" }] } },
  dhcp: { ipam: { type: "dhcp", request: [{}], provide: [{ option: "12", value: "pod" }] } },
  vrf: { vrfname: "blue" },
};
/** What every configuration may have, the runtime puts in, or every interface's plugin takes, of use or not. */
const common = ["cniVersion", "name", "type", "ipam", "dns", "args", "runtimeConfig", "prevResult", "mtu", "enabledad"];
const isIpam = (name: string): boolean => ["host-local", "static", "dhcp"].includes(name);

for (const plugin of ownPlugins.values()) {
  test(`${plugin.name}: every key of its README is one that tripod cni lint knows`, () => {
    const readme = readFileSync(join(import.meta.dirname, "../..", plugin.name, "README.md"), "utf8");
    const keys = [...readme.matchAll(/^\| ((?:`\w+`(?:, )?)+) \|/gm)].flatMap(([, cell = ""]) =>
      [...cell.matchAll(/`(\w+)`/g)].map(([, key = ""]) => key),
    );
    const config: JsonObject = { cniVersion: "1.1.0", name: "net", type: plugin.name, ...least[plugin.name] };
    const read = Fields.watch(isIpam(plugin.name) ? new Fields(config, "").objectAt("ipam") : config);
    plugin.validate({
      command: "STATUS",
      containerId: "",
      ifname: "eth0",
      netns: "",
      args: new Map(),
      network: "net",
      cniVersion: "1.1.0",
      config,
      validAttachments: [],
      signal: new AbortController().signal,
      delegate: () => assert.fail("nothing is asked"),
    });
    const unread = keys.filter((key) => !read.has(key.toLowerCase()) && !["ipam", "dns", "type"].includes(key));
    assert.deepEqual(unread, []);
    const told = new Set([...keys, ...common].map((key) => key.toLowerCase()));
    const untold = [...read].filter((key) => !told.has(key));
    assert.deepEqual(untold, [], "read, and in no table of the README");
  });
}
