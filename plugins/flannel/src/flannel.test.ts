import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { type CniPlugin, definePlugin, type JsonObject } from "@tripod/cni/sdk";
import { onFreshHost, ownCallee, testPluginContract } from "@tripod/cni/testing";
import { nft, openRtnetlink } from "@tripod/linux";
import { FreshNetns, TemporaryFolder } from "@tripod/linux/testing";
import { bridge } from "@tripod/plugin-bridge";
import { hostLocal } from "@tripod/plugin-host-local";
import { flannel } from "./flannel.ts";
import { delegateConfig, parseFlannelConfig } from "./flannel-config.ts";
import { parseSubnetEnv } from "./subnet-env.ts";

const env = `FLANNEL_NETWORK=10.244.0.0/16
FLANNEL_SUBNET=10.244.3.1/24
FLANNEL_IPV6_NETWORK=fd44::/48
FLANNEL_IPV6_SUBNET=fd44:0:0:3::1/64
FLANNEL_MTU=1450
FLANNEL_IPMASQ=false
`;

if (onFreshHost(import.meta.url)) {
  const folder = new TemporaryFolder("flannel");
  test.after(() => folder[Symbol.dispose]());
  const subnetFile = folder.join("subnet.env");
  writeFileSync(subnetFile, env);
  let count = 0;
  /** A configuration with folders of its own. */
  const configuration = (
    more: JsonObject = {},
  ): JsonObject & { readonly dataDir: string; readonly reservations: string } => {
    const dataDir = folder.join(`data-${(count += 1)}`);
    const reservations = folder.join(`networks-${count}`);
    return {
      cniVersion: "1.0.0",
      name: "cbr0",
      type: "flannel",
      subnetFile,
      dataDir,
      reservations,
      delegate: { bridge: "br-fl" },
      ipam: { dataDir: reservations },
      ...more,
    };
  };
  const own = ownCallee(flannel, [bridge, hostLocal]);
  const reserved = (dir: string): string[] => readdirSync(`${dir}/cbr0`).filter((name) => name.startsWith("10."));

  test.afterEach(() => {
    using host = openRtnetlink();
    host.linkDelete("br-fl");
  });

  const { subnetFile: _file, ...contract } = configuration();
  testPluginContract({
    plugin: flannel,
    delegates: [bridge, hostLocal],
    config: {
      subnetFile,
      dataDir: contract.dataDir,
      delegate: { bridge: "br-fl" },
      ipam: { dataDir: contract.reservations },
    },
  });

  test("flannel: the delegate is told this node's subnets, routes to all Pods, MTU and masquerading", async () => {
    using netns = new FreshNetns();
    const stdin = configuration();
    const result = await own.call("ADD", stdin, { netns: netns.path });
    const late = { ...stdin, prevResult: result };
    assert.match(JSON.stringify(result.ips), /10\.244\.3\.2\/24.*fd44:0:0:3::2\/64/);
    {
      using there = openRtnetlink({ netns: netns.path });
      const link = there.linkByName("eth0");
      assert.equal(link.mtu, 1450);
      assert.equal(there.routes({ dst: "10.244.0.0/16" })[0]?.gateway, "10.244.3.1");
      assert.equal(there.routes({ dst: "fd44::/48" })[0]?.gateway, "fd44:0:0:3::1");
    }
    assert.match(nft("list ruleset"), /10\.244\.3\.2 .*masquerade/);
    await own.call("CHECK", late, { netns: netns.path });
    assert.deepEqual(reserved(stdin.reservations), ["10.244.3.2"]);
    // What flanneld says by now does not matter: DEL goes by what was kept.
    writeFileSync(subnetFile, env.replaceAll("10.244.3", "10.244.9"));
    for (let time = 0; time < 2; time += 1) await own.call("DEL", late, { netns: netns.path });
    writeFileSync(subnetFile, env);
    assert.deepEqual(readdirSync(stdin.dataDir), []);
    assert.deepEqual(reserved(stdin.reservations), []);
    assert.equal(nft("list ruleset"), "");
    await assert.rejects(own.call("CHECK", late, { netns: netns.path }), { cniCode: 3 });
  });

  test("flannel: a delegate whose DEL fails is asked again by the next DEL", async () => {
    let failing = true;
    const asked: string[] = [];
    const moody: CniPlugin = definePlugin({
      name: "moody",
      add: (call) => ({ cniVersion: call.cniVersion, interfaces: [], ips: [], routes: [], dns: {} }),
      del(call) {
        asked.push(JSON.stringify(call.config.flavour));
        if (failing) throw new Error("not now");
      },
    });
    using netns = new FreshNetns();
    const stdin = configuration({ delegate: { type: "moody", flavour: "salt" } });
    const callee = ownCallee(flannel, [moody]);
    await callee.call("ADD", stdin, { netns: netns.path });
    await assert.rejects(callee.call("DEL", stdin, { netns: netns.path }), { message: /not now/ });
    assert.deepEqual(readdirSync(stdin.dataDir), ["a"]);
    failing = false;
    await callee.call("DEL", { ...stdin, delegate: { type: "another" } });
    await callee.call("DEL", stdin);
    assert.deepEqual(asked, ['"salt"', '"salt"']);
    assert.deepEqual(readdirSync(stdin.dataDir), []);
  });

  test("flannel: a failed ADD leaves no record; the interfaces of one container have a record each; GC takes those of nobody", async () => {
    using netns = new FreshNetns();
    using other = new FreshNetns();
    const stdin = configuration();
    await own.call("ADD", stdin, { netns: netns.path });
    await own.call("ADD", stdin, { netns: netns.path, ifname: "net1" });
    await own.call("ADD", stdin, { netns: other.path, containerId: "b" });
    await assert.rejects(
      own.call("ADD", { ...stdin, delegate: { type: "absent" } }, { netns: other.path, containerId: "c" }),
      {
        message: /absent/,
      },
    );
    assert.deepEqual(readdirSync(stdin.dataDir).toSorted(), ["a", "a_net1", "b"]);
    const valid = { "cni.dev/valid-attachments": [{ containerID: "a", ifname: "net1" }] };
    await own.call("GC", { ...stdin, cniVersion: "1.1.0", ...valid });
    assert.deepEqual(reserved(stdin.reservations), ["10.244.3.3"]);
    await own.call("DEL", stdin, { netns: netns.path, ifname: "net1" });
    await own.call("DEL", stdin, { netns: netns.path });
    await own.call("DEL", stdin, { netns: other.path, containerId: "b" });
    assert.deepEqual(reserved(stdin.reservations), []);
    assert.deepEqual(readdirSync(stdin.dataDir), []);
  });

  test("flannel: without flanneld's file ADD is to be tried again, and STATUS says why", async () => {
    using netns = new FreshNetns();
    const stdin = configuration({ subnetFile: folder.join("absent.env"), cniVersion: "1.1.0" });
    await assert.rejects(own.call("ADD", stdin, { netns: netns.path }), {
      cniCode: 11,
      message: /absent\.env.*flanneld/,
    });
    await assert.rejects(own.call("STATUS", stdin), { cniCode: 50 });
    await own.call("STATUS", { ...configuration(), cniVersion: "1.1.0" });
  });

  test("flannel: upstream's record of a container is understood", async () => {
    using netns = new FreshNetns();
    const stdin = configuration();
    await own.call("ADD", stdin, { netns: netns.path });
    const file = `${stdin.dataDir}/a`;
    const kept: JsonObject = JSON.parse(readFileSync(file, "utf8")) as JsonObject; // the plugin wrote it
    const { "tripod.dev/ifname": _ifname, ...upstream } = kept;
    assert.deepEqual(Object.keys(upstream).toSorted(), [
      "bridge",
      "cniVersion",
      "ipMasq",
      "ipam",
      "isGateway",
      "mtu",
      "name",
      "type",
    ]);
    writeFileSync(file, JSON.stringify(upstream));
    await own.call("DEL", stdin, { netns: netns.path });
    assert.deepEqual(reserved(stdin.reservations), []);
  });

  test("flannel: subnet.env and delegate are checked, and what is missing is named at once", () => {
    const rows: [string, RegExp][] = [
      ["", /lacks FLANNEL_NETWORK or FLANNEL_IPV6_NETWORK, FLANNEL_SUBNET or .*, FLANNEL_MTU, FLANNEL_IPMASQ/],
      [env.replace("1450", "many"), /FLANNEL_MTU is "many"/],
      [env.replace("10.244.0.0/16", "nonsense"), /nonsense/],
    ];
    for (const [text, why] of rows) assert.throws(() => parseSubnetEnv(text, "subnet.env"), { message: why });
    const several = parseSubnetEnv(env.replace("10.244.0.0/16", "10.244.0.0/16,10.250.0.0/16,10.244.0.0/16"), "");
    assert.deepEqual(several.networks, ["10.244.0.0/16", "10.250.0.0/16", "fd44::/48"]);
    for (const delegate of [{ name: "x" }, { ipam: {} }, { type: 5 }])
      assert.throws(() => parseFlannelConfig({ config: { delegate }, args: new Map() }), { code: "invalid" });
    const config = parseFlannelConfig({
      config: {
        delegate: { type: "macvlan", mtu: 1400, ipMasq: false },
        ipam: { type: "static", routes: [{ dst: "1.0.0.0/8" }] },
        runtimeConfig: { mac: "02:00:00:00:00:01" },
      },
      args: new Map(),
    });
    assert.deepEqual(delegateConfig(config, several, { name: "n", cniVersion: "1.0.0" }), {
      type: "macvlan",
      name: "n",
      cniVersion: "1.0.0",
      mtu: 1400,
      ipMasq: false,
      runtimeConfig: { mac: "02:00:00:00:00:01" },
      ipam: {
        type: "static",
        ranges: [[{ subnet: "10.244.3.0/24" }], [{ subnet: "fd44:0:0:3::/64" }]],
        routes: ["1.0.0.0/8", "10.244.0.0/16", "10.250.0.0/16", "fd44::/48"].map((dst) => ({ dst })),
      },
    });
  });
}
