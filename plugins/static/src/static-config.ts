import { TripodError } from "@tripod/base";
import {
  type Cidr,
  type CniDns,
  type CniIp,
  type CniRoute,
  configFields,
  containsIp,
  Fields,
  formatCidr,
  formatIp,
  parseCidr,
  parseDns,
  parseIp,
  parseRoutes,
  type PluginCall,
} from "@tripod/cni/sdk";

/** What static gives to everyone who asks. */
export interface StaticConfig {
  readonly ips: readonly CniIp[];
  readonly routes: readonly CniRoute[];
  readonly dns: CniDns;
}

const wrong = (why: string): TripodError => new TripodError("invalid", `static: ${why}`);

interface Wanted {
  readonly cidr: Cidr;
  readonly gateway: string | undefined;
}

const listed = (text: string | undefined): readonly string[] =>
  (text ?? "").split(",").flatMap((item) => (item.trim() === "" ? [] : [item.trim()]));

const plain = (text: string): Wanted => ({ cidr: parseCidr(text), gateway: undefined });

/**
 * The addresses of the configuration and of CNI_ARGS (`IP=`); those of `args.cni.ips`, or else of the capability `ips`, take the place of all
 * of them. `GATEWAY=` in CNI_ARGS is for the addresses whose subnet it is in.
 */
function wantedAddresses(ipam: Fields, call: Pick<PluginCall, "config" | "args">): readonly Wanted[] {
  const config = configFields("static", call);
  const runtime = new Fields(config.objectAt("runtimeConfig"), "static: runtimeConfig").strings("ips");
  const cniArgs = new Fields(config.objectAt("args"), "static: args").objectAt("cni");
  const named = new Fields(cniArgs, "static: args.cni").strings("ips");
  const instead = runtime.length > 0 ? runtime : named;
  if (instead.length > 0) return instead.map(plain);
  const gateways = listed(call.args.get("GATEWAY")).map(parseIp);
  const configured = ipam.objects("addresses").map((object): Wanted => {
    const item = new Fields(object, "static: ipam.addresses");
    const gateway = item.string("gateway", "");
    return {
      cidr: parseCidr(item.string("address", "")),
      gateway: gateway === "" ? undefined : formatIp(parseIp(gateway)),
    };
  });
  return [...configured, ...listed(call.args.get("IP")).map(plain)].map(({ cidr, gateway }) => {
    const named = gateways.findLast((ip) => containsIp(cidr, ip));
    return { cidr, gateway: named === undefined ? gateway : formatIp(named) };
  });
}

/** Reads the `ipam` part of the configuration, with what capabilities and CNI_ARGS ask for. Throws "invalid". */
export function parseStaticConfig(call: Pick<PluginCall, "config" | "args" | "cniVersion">): StaticConfig {
  const config = configFields("static", call);
  if (!config.has("ipam")) throw wrong('"ipam" is missing');
  const ipam = new Fields(config.objectAt("ipam"), "static: ipam");
  const wanted = wantedAddresses(ipam, call);
  for (const family of [4, 6]) {
    const count = wanted.filter(({ cidr }) => cidr.ip.family === family).length;
    if (count > 1 && /^0\.[12]\./.test(call.cniVersion))
      throw wrong(
        `${count} IPv${family} addresses, of which CNI ${call.cniVersion} has room for one; use 0.3.0 or later`,
      );
  }
  return {
    ips: wanted.map(({ cidr, gateway }) => ({
      address: formatCidr(cidr),
      ...(gateway === undefined ? {} : { gateway }),
    })),
    routes: parseRoutes(ipam.objects("routes")),
    dns: parseDns(ipam.objectAt("dns")),
  };
}
