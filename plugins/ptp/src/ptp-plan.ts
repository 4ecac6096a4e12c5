import { TripodError } from "@tripod/base";
import {
  type CniResult,
  formatCidr,
  networkOf,
  type Operation,
  parseCidr,
  planInterface,
  planRoutes,
} from "@tripod/cni/sdk";
import type { PtpConfig } from "./ptp-config.ts";

/** IPAM's result as ptp reports it; throws "invalid" unless each address has a gateway, which the host's end is to have. */
export function completeResult(config: PtpConfig, ipam: CniResult): CniResult {
  if (ipam.ips.length === 0) throw new TripodError("invalid", `ptp: IPAM plugin ${config.ipam} gave no address`);
  for (const { address, gateway } of ipam.ips) {
    if (gateway !== undefined) continue;
    throw new TripodError(
      "invalid",
      `ptp: IPAM plugin ${config.ipam} gave ${address} without a gateway, which is the address of the host's end; name one`,
    );
  }
  return {
    ...ipam,
    ips: ipam.ips.map((ip) => ({ ...ip, interface: 1 })),
    dns: Object.keys(config.dns).length > 0 ? config.dns : ipam.dns,
  };
}

const fullLength = (address: string): 32 | 128 => (parseCidr(address).ip.family === 4 ? 32 : 128);
const withoutPrefix = (address: string): string => address.slice(0, address.indexOf("/"));

/**
 * The container's end. Of its subnet only the gateway is on the link; what else is in it is behind the gateway, as is everything that the
 * result has routes to.
 */
export function planContainer(config: PtpConfig, ifname: string, result: CniResult): readonly Operation[] {
  const own = planInterface(ifname, { ips: result.ips, routes: [] }, { dad: config.enableDad, noPrefixRoutes: true });
  const toSubnets = result.ips.flatMap(({ address, gateway = "" }): Operation[] => {
    const cidr = parseCidr(address);
    const src = withoutPrefix(address);
    const subnet = formatCidr({ ip: networkOf(cidr), prefix: cidr.prefix });
    return [
      { kind: "add-route", name: ifname, route: { dst: `${gateway}/${fullLength(address)}`, src, scope: "link" } },
      ...(cidr.prefix === fullLength(address)
        ? []
        : [{ kind: "add-route" as const, name: ifname, route: { dst: subnet, gateway, src } }]),
    ];
  });
  return [...own, ...toSubnets, ...planRoutes(ifname, result)];
}

/** The host's end: the gateways' addresses, and a route to each of the container's. */
export function planHost(hostName: string, { ips }: CniResult): readonly Operation[] {
  const gateways = new Set(ips.map(({ address, gateway = "" }) => `${gateway}/${fullLength(address)}`));
  return [
    // What the container announces as a router is nothing to the host.
    { kind: "set-sysctl", name: `net/ipv6/conf/${hostName}/accept_ra`, value: "0" },
    ...[...gateways].map((address) => ({
      kind: "add-address" as const,
      name: hostName,
      address: { address, noDad: true },
    })),
    { kind: "set-link", name: hostName, changes: { up: true } },
    ...ips.map(({ address }) => ({
      kind: "add-route" as const,
      name: hostName,
      route: { dst: `${withoutPrefix(address)}/${fullLength(address)}`, scope: hostScope(address) },
    })),
  ];
}

/** The container is as near as the host itself: upstream's own scope. IPv6 routes have none. */
const hostScope = (address: string): "host" | undefined => (fullLength(address) === 32 ? "host" : undefined);
