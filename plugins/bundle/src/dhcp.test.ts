import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { parseResult } from "@tripod/cni";
import { exchange, noUpstream, onFreshHost, upstreamCallee } from "@tripod/cni/testing";
import { FreshNetns, TemporaryFolder } from "@tripod/linux/testing";
import { DhcpLan, Dnsmasq } from "@tripod/plugin-dhcp/testing";
import { interop, peer } from "@tripod/testing";
import { installPlugins } from "./install-plugins.ts";

if (onFreshHost(import.meta.url)) {
  const cell = interop({
    interface: "CNI",
    caller: peer("upstream's macvlan", "containernetworking-plugins"),
    callee: "Tripod's dhcp",
  });
  test(`${cell} | an address from the installed executable and its daemon`, {
    skip: noUpstream("macvlan"),
  }, async () => {
    using folder = new TemporaryFolder("dhcp-installed");
    using lan = new DhcpLan();
    using netns = new FreshNetns();
    await using server = await Dnsmasq.start(lan);
    await installPlugins(folder.join("bin"));
    const socketPath = folder.join("dhcp.sock");
    const daemon = spawn(folder.join("bin/dhcp"), ["daemon", "--socketpath", socketPath], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    const exit = once(daemon, "exit");
    try {
      assert.match(String(await once(daemon.stderr, "data")), /DHCP daemon listens/);
      const theirs = upstreamCallee("macvlan");
      const ipam = { type: "dhcp", daemonSocketPath: socketPath };
      const config = { cniVersion: "1.0.0", name: "lan", master: lan.bridge, ipam };
      const where = { netns: netns.path, path: folder.join("bin") };
      const prevResult = await theirs.call("ADD", config, where);
      const [ip] = parseResult(prevResult, "1.0.0").ips;
      assert.match(ip?.address ?? "", /^10\.99\.0\.\d+\/24$/);
      await exchange({ from: netns.path, to: lan.netns, addresses: ["10.99.0.1"] });
      await theirs.call("CHECK", { ...config, prevResult }, where);
      await theirs.call("DEL", { ...config, prevResult }, where);
      await server.says(/DHCPRELEASE/);
      await theirs.call("DEL", config, where);
    } finally {
      daemon.kill("SIGTERM");
      assert.deepEqual(await exit, [0, null]);
    }
  });
}
