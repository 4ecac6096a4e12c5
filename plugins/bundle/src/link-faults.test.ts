import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { silentLogger } from "@tripod/base";
import { CniRuntime, type JsonObject } from "@tripod/cni";
import { onFreshHost, Uplink } from "@tripod/cni/testing";
import { nft, openRtnetlink } from "@tripod/linux";
import { FreshNetns } from "@tripod/linux/testing";
import { ownPlugins } from "./plugins.ts";
import { PodNetwork } from "./testing/pod-network.ts";

type Chain = (ipam: JsonObject, dataDir: string) => readonly JsonObject[];

const network = (plugins: Chain) => (dataDir: string) => {
  const ranges = [[{ subnet: "10.77.0.0/24" }], [{ subnet: "fd77::/64" }]];
  return { cniVersion: "1.1.0", name: "net", plugins: plugins({ type: "host-local", dataDir, ranges }, dataDir) };
};

/** What flannel's daemon would have written. */
const subnetEnv = "FLANNEL_NETWORK=10.77.0.0/16\nFLANNEL_SUBNET=10.77.0.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n";

/** Where the process is killed, of the steps of each plugin. */
const rows: readonly { readonly plugins: Chain; readonly points: readonly string[] }[] = [
  {
    plugins: (ipam) => [{ type: "ptp", ipMasq: true, ipam }],
    points: [
      "ptp.add-link",
      "ptp.plugged",
      "ptp.ipam-added",
      "ptp.add-route@3",
      "ptp.connected",
      "ptp.masqueraded",
      "ptp.del.rules-gone",
      "ptp.del.links-gone",
    ],
  },
  {
    plugins: (ipam) => [{ type: "macvlan", master: "uplink", ipam }],
    points: ["macvlan.made", "macvlan.ipam-added", "macvlan.del.link-gone"],
  },
  {
    plugins: (ipam) => [{ type: "host-device", device: "uplink", ipam }],
    points: ["host-device.marked", "host-device.made", "host-device.moved-back"],
  },
  {
    plugins: (ipam) => [{ type: "bridge", bridge: "br-test", isGateway: true, ipam }, { type: "firewall" }],
    points: ["firewall.table-made@1", "firewall.table-made@2"],
  },
  {
    plugins(_ipam, dataDir) {
      writeFileSync(`${dataDir}.env`, subnetEnv);
      const delegate = { bridge: "br-test" };
      return [
        { type: "flannel", subnetFile: `${dataDir}.env`, dataDir: `${dataDir}-own`, ipam: { dataDir }, delegate },
      ];
    },
    points: ["flannel.stored", "flannel.deleted"],
  },
];

if (process.argv[2] === "child") {
  // ADD and DEL with the folder of the parent, killed at some failpoint.
  const [, , , folder = "", netns = ""] = process.argv;
  await using runtime = new CniRuntime({
    confDir: `${folder}/net.d`,
    binDirs: [`${folder}/bin`],
    cacheDir: `${folder}/cache`,
    plugins: ownPlugins,
    log: silentLogger,
  });
  await runtime.load();
  await runtime.add({ containerId: "victim", netns });
  await runtime.del({ containerId: "victim", netns });
} else if (onFreshHost(import.meta.url)) {
  for (const { plugins, points } of rows) {
    for (const [index, point] of points.entries()) {
      test(`a kill at ${point} leaves nothing that DEL does not take away`, async () => {
        using _uplink = new Uplink();
        await using pods = await PodNetwork.start(network(plugins));
        {
          using netns = new FreshNetns();
          const child = spawnSync(
            process.execPath,
            [fileURLToPath(import.meta.url), "child", pods.folder.path, netns.path],
            {
              env: { ...process.env, TRIPOD_FAILPOINT: point, NODE_TEST_CONTEXT: undefined },
              encoding: "utf8",
            },
          );
          assert.equal(child.signal, "SIGKILL", child.stderr);
          // Every other time the namespace is gone before.
          if (index % 2 === 0) {
            await pods.runtime.del({ containerId: "victim", netns: netns.path });
            using there = openRtnetlink({ netns: netns.path });
            assert.deepEqual(
              there.links().map(({ name }) => name),
              ["lo"],
            );
          }
        }
        await pods.runtime.del({ containerId: "victim" });
        using host = openRtnetlink();
        const links = host
          .links()
          .map(({ name }) => name)
          .filter((name) => name !== "br-test"); // a bridge stays
        assert.deepEqual(links, index % 2 === 0 || links.includes("uplink") ? ["lo", "uplink"] : ["lo"]);
        assert.equal(nft("list ruleset"), "");
        const flannels = `${pods.dataDir}-own`;
        assert.deepEqual(existsSync(flannels) ? readdirSync(flannels) : [], []);
        const reserved = existsSync(`${pods.dataDir}/net`) ? readdirSync(`${pods.dataDir}/net`) : [];
        assert.deepEqual(
          reserved.filter((name) => /^(10\.|fd77:)/.test(name)),
          [],
        );
      });
    }
  }
}
