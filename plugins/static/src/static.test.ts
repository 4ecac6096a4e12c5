import assert from "node:assert/strict";
import { test } from "node:test";
import { type CniCommand, type JsonObject, PluginInvoker } from "@tripod/cni";
import { compareWithUpstream, noUpstream, onFreshHost, testPluginContract } from "@tripod/cni/testing";
import { FreshNetns } from "@tripod/linux/testing";
import { interop, peer } from "@tripod/testing";
import { staticIpam } from "./static.ts";
import { parseStaticConfig } from "./static-config.ts";

const ipam = {
  type: "static",
  addresses: [{ address: "10.10.0.1/24", gateway: "10.10.0.254" }, { address: "3ffe:ffff:0:01ff::1/64" }],
  routes: [{ dst: "0.0.0.0/0", gw: "10.10.0.254" }, { dst: "3ffe:ffff::/48" }],
  dns: { nameservers: ["10.10.0.2"], domain: "a.example", search: ["b.example"], options: ["ndots:2"] },
};

const parse = (config: JsonObject, args = new Map<string, string>(), cniVersion = "1.1.0") =>
  parseStaticConfig({ config: { ipam, ...config }, args, cniVersion });

test("static: wrong values are refused by name", () => {
  assert.throws(() => parseStaticConfig({ config: {}, args: new Map(), cniVersion: "1.0.0" }), {
    message: /"ipam" is missing/,
  });
  assert.throws(() => parse({ ipam: { addresses: [{ address: "10.0.0.1" }] } }), { message: /10\.0\.0\.1.*prefix/ });
  assert.throws(() => parse({ ipam: { addresses: [{ address: "10.0.0.1/8", gateway: "x" }] } }), { code: "invalid" });
  assert.throws(() => parse({ ipam: { routes: [{ dst: "10.0.0.0" }] } }), { code: "invalid" });
  const two = { ipam: { addresses: [{ address: "10.0.0.1/8" }, { address: "10.0.0.2/8" }] } };
  assert.throws(() => parse(two, new Map(), "0.2.0"), {
    message: /2 IPv4 addresses, of which CNI 0\.2\.0 has room for one/,
  });
  assert.equal(parse(two, new Map(), "0.3.0").ips.length, 2);
});

test("static: addresses of CNI_ARGS join the configuration's, those of args and of the capability take their place", () => {
  const args = new Map([
    ["IP", "10.20.0.5/24, 10.10.0.9/24"],
    ["GATEWAY", "10.20.0.1"],
  ]);
  assert.deepEqual(parse({}, args).ips, [
    { address: "10.10.0.1/24", gateway: "10.10.0.254" },
    { address: "3ffe:ffff:0:1ff::1/64" },
    { address: "10.20.0.5/24", gateway: "10.20.0.1" },
    { address: "10.10.0.9/24" },
  ]);
  const named = { args: { cni: { ips: ["10.30.0.1/24"] } } };
  assert.deepEqual(parse(named, args).ips, [{ address: "10.30.0.1/24" }]);
  const both = { ...named, runtimeConfig: { ips: ["fd00::1/64"] } };
  assert.deepEqual(parse(both, args).ips, [{ address: "fd00::1/64" }]);
  assert.throws(() => parse({}, new Map([["IP", "10.20.0.5"]])), { code: "invalid" });
});

if (onFreshHost(import.meta.url)) {
  testPluginContract({ plugin: staticIpam, config: { ipam } });

  test("static: CHECK tells an address or a gateway that is no longer what was given", async () => {
    const invoker = new PluginInvoker({ binDirs: [], plugins: new Map([["static", staticIpam]]) });
    using netns = new FreshNetns();
    const call = (command: CniCommand, more: JsonObject): Promise<JsonObject | undefined> =>
      invoker.invoke("static", {
        command,
        containerId: "a",
        netns: netns.path,
        ifname: "eth0",
        args: "",
        path: [],
        stdin: { cniVersion: "1.0.0", name: "fixed", type: "static", ipam, ...more },
        signal: new AbortController().signal,
      });
    const prevResult = (await call("ADD", {})) ?? {};
    await call("CHECK", { prevResult });
    await assert.rejects(call("CHECK", {}), { cniCode: 7 });
    const addresses = [{ address: "10.10.0.1/24", gateway: "10.10.0.253" }];
    await assert.rejects(call("CHECK", { prevResult, ipam: { addresses } }), { cniCode: 3, message: /10\.10\.0\.253/ });
    const others = [{ address: "10.10.0.7/24" }];
    await assert.rejects(call("CHECK", { prevResult, ipam: { addresses: others } }), {
      message: /10\.10\.0\.7\/24 is not/,
    });
  });

  const cell = interop({
    interface: "CNI",
    caller: "Tripod's comparison",
    callee: peer("upstream's IPAM plugins", "containernetworking-plugins"),
  });
  test(`${cell} | static: the same result`, { skip: noUpstream("static") }, async () => {
    const rows: readonly { config: JsonObject; args?: string }[] = [
      { config: { ipam } },
      { config: { ipam }, args: "IgnoreUnknown=1;IP=10.20.0.5/24,fd02::5/64;GATEWAY=10.20.0.1,fd02::1" },
      { config: { ipam, args: { cni: { ips: ["10.30.0.1/24"] } } } },
      {
        config: {
          ipam,
          runtimeConfig: { ips: ["10.40.0.1/24", "fd04::1/64"] },
          args: { cni: { ips: ["10.30.0.1/24"] } },
        },
      },
      { config: { ipam: { type: "static" } } },
    ];
    for (const row of rows)
      assert.deepEqual(await compareWithUpstream({ plugin: staticIpam, ...row }), [], JSON.stringify(row));
  });
}
