import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { silentLogger } from "@tripod/base";
import { nft, openRtnetlink } from "@tripod/linux";
import { FreshNetns, TemporaryFolder } from "@tripod/linux/testing";
import { interop, peer } from "@tripod/testing";
import { CniRuntime } from "./cni-runtime.ts";
import { onFreshHost } from "./testing/on-fresh-host.ts";

const binDir = "/usr/lib/cni";
const skip = existsSync(`${binDir}/bridge`)
  ? false
  : `upstream's plugins are not in ${binDir} (containernetworking-plugins)`;

if (onFreshHost(import.meta.url)) {
  const cell = interop({
    interface: "CNI",
    caller: "Tripod's runtime",
    callee: peer("upstream's plugins", "containernetworking-plugins"),
  });

  test(`${cell} | as a chain: bridge, host-local, portmap, loopback`, { skip }, async () => {
    using folder = new TemporaryFolder("cni-debian");
    using netns = new FreshNetns();
    mkdirSync(folder.join("net.d"));
    writeFileSync(
      folder.join("net.d", "10-upstream.conflist"),
      JSON.stringify({
        cniVersions: ["0.4.0", "1.0.0"],
        name: "upstream",
        plugins: [
          {
            type: "bridge",
            bridge: "br-up",
            isDefaultGateway: true,
            ipMasq: true,
            ipam: { type: "host-local", dataDir: folder.join("networks"), ranges: [[{ subnet: "10.99.0.0/24" }]] },
          },
          { type: "portmap", capabilities: { portMappings: true } },
        ],
      }),
    );
    await using runtime = new CniRuntime({
      confDir: folder.join("net.d"),
      binDirs: [binDir],
      cacheDir: folder.join("cache"),
      log: silentLogger,
    });
    await runtime.load();
    assert.ok((await runtime.pluginStatus()).ready);
    for (const { type, versions, error } of await runtime.versions())
      assert.ok(versions?.includes("1.0.0"), `${type}: ${error}`);

    const result = await runtime.add({
      containerId: "a",
      netns: netns.path,
      capabilityArgs: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }] },
    });
    assert.equal(result.cniVersion, "1.0.0");
    assert.equal(result.ips[0]?.address, "10.99.0.2/24");
    assert.equal(result.interfaces[result.ips[0]?.interface ?? -1]?.name, "eth0");
    assert.match(nft("list ruleset"), /8080/);
    // Its portmap looks for rules of both families on CHECK, also where the container has but one.
    await assert.rejects(runtime.check({ containerId: "a" }), { message: /plugin portmap: could not check ipv6 dnat/ });
    {
      using there = openRtnetlink({ netns: netns.path });
      there.linkSet("eth0", { up: false });
      there.addressDelete({ index: there.linkByName("eth0").index, address: "10.99.0.2/24" });
    }
    await assert.rejects(runtime.check({ containerId: "a" }), { message: /plugin bridge: .*10\.99\.0\.2/ });

    // Its portmap needs the mappings again to find its rules: they come from the record.
    await runtime.del({ containerId: "a" });
    await runtime.del({ containerId: "a" });
    assert.doesNotMatch(nft("list ruleset"), /8080/);
    assert.deepEqual(
      readdirSync(folder.join("networks", "upstream")).filter((name) => name.startsWith("10.")),
      [],
    );
    assert.deepEqual(await runtime.attachments(), []);
  });

  test("a plugin that is not installed is told by name and folder", { skip }, async () => {
    using folder = new TemporaryFolder("cni-debian");
    using netns = new FreshNetns();
    mkdirSync(folder.join("net.d"));
    writeFileSync(
      folder.join("net.d", "10-a.conf"),
      JSON.stringify({ cniVersion: "1.0.0", name: "a", type: "no-such-plugin" }),
    );
    await using runtime = new CniRuntime({
      confDir: folder.join("net.d"),
      binDirs: [binDir],
      cacheDir: folder.join("cache"),
      log: silentLogger,
    });
    await runtime.load();
    await assert.rejects(runtime.add({ containerId: "a", netns: netns.path }), {
      code: "unavailable",
      message: /no-such-plugin: no such executable in \/usr\/lib\/cni/,
    });
  });
}
