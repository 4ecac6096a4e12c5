import {
  type CniPlugin,
  type CniResult,
  definePlugin,
  differs,
  type PluginCall,
  reportedResult,
} from "@tripod/cni/sdk";
import { parseStaticConfig } from "./static-config.ts";

const add = (call: PluginCall): CniResult => ({
  cniVersion: call.cniVersion,
  interfaces: [],
  ...parseStaticConfig(call),
});

/** What ADD gave must be what it would give again. */
function check(call: PluginCall): void {
  const { ips } = parseStaticConfig(call);
  const given = reportedResult("static", call).ips;
  for (const { address, gateway } of ips) {
    const same = given.find((ip) => ip.address === address);
    if (same === undefined) throw differs("static", `${address} is not among the addresses of ${call.ifname}`);
    if (gateway !== undefined && same.gateway !== gateway)
      throw differs("static", `${address} has the gateway ${same.gateway ?? "(none)"} instead of ${gateway}`);
  }
}

/** IPAM that gives what the configuration says, and keeps no record of it. */
export const staticIpam: CniPlugin = definePlugin({
  name: "static",
  add,
  del() {}, // nothing was taken
  check,
  status(call) {
    parseStaticConfig(call);
  },
  validate: parseStaticConfig,
});
