import assert from "node:assert/strict";
import { test } from "node:test";
import { type JsonObject, parseResult } from "@tripod/cni";
import { noUpstream, onFreshHost, ownCallee, upstreamCallee, upstreamDir } from "@tripod/cni/testing";
import { openRtnetlink } from "@tripod/linux";
import { FreshNetns, TemporaryFolder } from "@tripod/linux/testing";
import { ptp } from "@tripod/plugin-ptp";
import { interop, peer } from "@tripod/testing";
import { installPlugins } from "./install-plugins.ts";

if (onFreshHost(import.meta.url)) {
  const folder = new TemporaryFolder("cni-delegation");
  const binDir = folder.join("bin");
  test.before(() => installPlugins(binDir));
  test.after(() => folder[Symbol.dispose]());

  const skip = noUpstream("ptp");
  const upstream = (what: string): string => peer(`upstream's ${what}`, "containernetworking-plugins");
  const ipams: readonly (JsonObject & { readonly type: string })[] = [
    { type: "static", addresses: [{ address: "10.88.0.5/24", gateway: "10.88.0.1" }], routes: [{ dst: "0.0.0.0/0" }] },
    {
      type: "host-local",
      dataDir: folder.join("networks"),
      ranges: [[{ subnet: "10.88.0.0/24", rangeStart: "10.88.0.5", rangeEnd: "10.88.0.5" }]],
    },
  ];

  for (const ipam of ipams) {
    const { type } = ipam;
    const rows = [
      {
        cell: interop({ interface: "CNI IPAM", caller: upstream("ptp"), callee: `Tripod's ${type}` }),
        callee: upstreamCallee("ptp"),
        path: binDir,
      },
      {
        cell: interop({ interface: "CNI IPAM", caller: "Tripod's ptp", callee: upstream(type) }),
        callee: ownCallee(ptp),
        path: upstreamDir,
      },
    ];
    for (const { cell, callee, path } of rows) {
      test(`${cell} | ADD, CHECK and DEL by executables`, { skip }, async () => {
        using netns = new FreshNetns();
        const stdin = { cniVersion: "1.0.0", name: "mixed", type: "ptp", ipam };
        const printed = await callee.call("ADD", stdin, { netns: netns.path, path });
        const { ips, routes } = parseResult(printed, "1.0.0");
        assert.deepEqual(ips, [{ interface: 1, address: "10.88.0.5/24", gateway: "10.88.0.1" }]);
        assert.equal(routes.length, type === "static" ? 1 : 0);
        const late = { ...stdin, prevResult: printed };
        await callee.call("CHECK", late, { netns: netns.path, path });
        await callee.call("DEL", late, { netns: netns.path, path });
        using host = openRtnetlink();
        assert.deepEqual(
          host.links().map(({ name }) => name),
          ["lo"],
        );
      });
    }
  }
}
