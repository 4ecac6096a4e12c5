import type { Link, Rtnetlink } from "@tripod/linux";
import { CniError, cniCodes } from "../cni-error.ts";
import { formatCidr, networkOf, parseCidr } from "../ip.ts";
import type { PluginCall } from "../plugin.ts";
import type { CniInterface, CniResult } from "../result.ts";

/** The error of a CHECK that found something else than ADD had made. */
export const differs = (plugin: string, what: string): CniError =>
  new CniError(cniCodes.unknownContainer, `${plugin} CHECK: ${what}; DEL and ADD it again`);

/** What the plugins before this one in the chain have made; throws CNI code 7 when there was none. */
export function chainedResult(plugin: string, call: PluginCall): CniResult {
  if (call.prevResult !== undefined) return call.prevResult;
  throw new CniError(
    cniCodes.invalidConfig,
    `${plugin}: prevResult is missing; put it behind a plugin that makes an interface`,
  );
}

/** What ADD had reported; throws CNI code 7 when the call does not say it. */
export function reportedResult(plugin: string, call: PluginCall): CniResult {
  if (call.prevResult !== undefined) return call.prevResult;
  throw new CniError(cniCodes.invalidConfig, `${plugin} CHECK: prevResult is missing`);
}

/** The call's interface as ADD had reported it; results of old versions name none. */
export const reportedInterface = (call: PluginCall, result: CniResult): CniInterface | undefined =>
  result.interfaces.find(({ name, sandbox = "" }) => name === call.ifname && sandbox !== "");

/** The addresses that ADD had reported for the call's interface. */
export function reportedIps(call: PluginCall, result: CniResult): CniResult["ips"] {
  const reported = reportedInterface(call, result);
  return result.ips.filter((ip) => ip.interface === undefined || result.interfaces[ip.interface] === reported);
}

/**
 * Compares the container's interface with what ADD had reported: that it is there and up, its MAC, addresses and routes. Throws the first
 * difference; returns the interface.
 */
export function checkInterface(
  plugin: string,
  call: PluginCall,
  { there, mayBeDown = false }: { readonly there: Rtnetlink; readonly mayBeDown?: boolean },
): Link {
  const result = reportedResult(plugin, call);
  const reported = reportedInterface(call, result);
  const own = there.findLink(call.ifname);
  if (own === undefined) throw differs(plugin, `${call.ifname} is gone from ${call.netns}`);
  if (reported?.mac !== undefined && reported.mac !== own.mac)
    throw differs(plugin, `${call.ifname} has the MAC ${own.mac} instead of ${reported.mac}`);
  if (!own.up && !mayBeDown) throw differs(plugin, `${call.ifname} is down`);
  const addresses = new Set(there.addresses({ index: own.index }).map(({ address }) => address));
  for (const { address } of reportedIps(call, result)) {
    if (!addresses.has(address)) throw differs(plugin, `${call.ifname} does not have ${address}`);
  }
  const routes = there.routes({ index: own.index });
  for (const { dst, gw, table } of result.routes) {
    const cidr = parseCidr(dst);
    const wanted = cidr.prefix === 0 ? "default" : formatCidr({ ip: networkOf(cidr), prefix: cidr.prefix });
    const family = cidr.ip.family === 4 ? "ipv4" : "ipv6";
    const found = routes.some(
      (route) =>
        route.family === family &&
        route.dst === wanted &&
        (gw === undefined || route.gateway === gw) &&
        (table === undefined || route.table === table),
    );
    if (!found) throw differs(plugin, `the route to ${dst} is gone`);
  }
  return own;
}
