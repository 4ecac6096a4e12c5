import { CniError, cniCodes, type CniResult, formatCidr, networkOf, parseCidr, type PluginCall } from "@tripod/cni/sdk";
import { type Link, openRtnetlink } from "@tripod/linux";
import type { BridgeConfig } from "./bridge-config.ts";
import { countMasquerade } from "./masquerade.ts";

const differs = (what: string): CniError =>
  new CniError(cniCodes.unknownContainer, `bridge CHECK: ${what}; DEL and ADD it again`);

function found(link: Link | undefined, name: string, where: string): Link {
  if (link === undefined) throw differs(`${name} is gone from ${where}`);
  return link;
}

/** Compares the kernel's state with what ADD reported; throws the first difference. */
export function checkBridge(config: BridgeConfig, call: PluginCall, result: CniResult): void {
  using host = openRtnetlink();
  using there = openRtnetlink({ netns: call.netns });
  const bridge = found(host.findLink(config.bridge), config.bridge, "the host");
  if (bridge.kind !== "bridge" || !bridge.up) throw differs(`${config.bridge} is not a bridge that is up`);
  const reported = result.interfaces.find(({ name, sandbox = "" }) => name === call.ifname && sandbox !== "");
  const own = found(there.findLink(call.ifname), call.ifname, call.netns);
  if (own.kind !== "veth") throw differs(`${call.ifname} is no veth`);
  if (reported?.mac !== undefined && reported.mac !== own.mac)
    throw differs(`${call.ifname} has the MAC ${own.mac} instead of ${reported.mac}`);
  const end = host.links().find((link) => link.kind === "veth" && link.index === own.parent);
  if (end?.master !== bridge.index) throw differs(`the host's end of ${call.ifname} is not a port of ${config.bridge}`);
  if (!config.disableContainerInterface && !own.up) throw differs(`${call.ifname} is down`);
  const addresses = new Set(there.addresses({ index: own.index }).map(({ address }) => address));
  const given = result.ips.filter((ip) => ip.interface === undefined || result.interfaces[ip.interface] === reported);
  for (const { address } of given) {
    if (!addresses.has(address)) throw differs(`${call.ifname} does not have ${address}`);
  }
  const routes = there.routes({ index: own.index });
  for (const { dst, gw } of result.routes) {
    const cidr = parseCidr(dst);
    const wanted = cidr.prefix === 0 ? "default" : formatCidr({ ip: networkOf(cidr), prefix: cidr.prefix });
    const family = cidr.ip.family === 4 ? "ipv4" : "ipv6";
    const there = routes.some(
      (route) => route.family === family && route.dst === wanted && (gw === undefined || route.gateway === gw),
    );
    if (!there) throw differs(`the route to ${dst} is gone`);
  }
  if (config.ipMasq && config.ipam !== undefined && countMasquerade(call) < given.length)
    throw differs(`the masquerade rules of ${call.containerId} are gone`);
}
