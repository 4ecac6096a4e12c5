import { scopeName } from "@tripod/linux";
import { parseCidr } from "../ip.ts";
import type { CniResult } from "../result.ts";
import type { Operation } from "./operation.ts";

export interface InterfaceOptions {
  /** Duplicate address detection for IPv6, which takes up to two seconds; see settleAddresses(). */
  readonly dad: boolean;
  /** Do not make the routes to the addresses' prefixes; the plugin has others. */
  readonly noPrefixRoutes?: boolean;
}

/** The families of the addresses. */
export const familiesOf = ({ ips }: Pick<CniResult, "ips">): ReadonlySet<4 | 6> =>
  new Set(ips.map(({ address }) => parseCidr(address).ip.family));

/**
 * Gives a container's interface the addresses and routes of a result. It goes up after its addresses, so that its announcement (ARP, ND)
 * carries them, and before its routes, which the kernel takes no earlier.
 */
export function planInterface(
  ifname: string,
  result: Pick<CniResult, "ips" | "routes">,
  { dad, noPrefixRoutes }: InterfaceOptions,
): readonly Operation[] {
  const families = familiesOf(result);
  return [
    ...(families.has(4) ? [sysctl(`net/ipv4/conf/${ifname}/arp_notify`, "1")] : []),
    ...(families.has(6)
      ? [
          sysctl("net/ipv6/conf/lo/disable_ipv6", "0"),
          sysctl(`net/ipv6/conf/${ifname}/disable_ipv6`, "0"),
          sysctl(`net/ipv6/conf/${ifname}/ndisc_notify`, "1"),
          sysctl(`net/ipv6/conf/${ifname}/keep_addr_on_down`, "1"),
        ]
      : []),
    ...result.ips.map(({ address }) => ({
      kind: "add-address" as const,
      name: ifname,
      address: { address, noDad: !dad, noPrefixRoute: noPrefixRoutes },
    })),
    { kind: "set-link", name: ifname, changes: { up: true } },
    ...planRoutes(ifname, result),
  ];
}

/** The routes of a result; one without a gateway goes by that of the first address of its family that has one. */
export function planRoutes(ifname: string, { ips, routes }: Pick<CniResult, "ips" | "routes">): readonly Operation[] {
  const gatewayOf = (family: 4 | 6): string | undefined =>
    ips.find(({ address, gateway }) => gateway !== undefined && parseCidr(address).ip.family === family)?.gateway;
  return routes.map(({ dst, gw, mtu, advmss, priority, table, scope }) => {
    // A scope of "link" says that there is no gateway in between.
    const direct = scope !== undefined && scopeName(scope) === "link";
    const gateway = gw ?? (direct ? undefined : gatewayOf(parseCidr(dst).ip.family));
    return {
      kind: "add-route" as const,
      name: ifname,
      route: {
        dst,
        gateway,
        mtu,
        advertisedMss: advmss,
        metric: priority,
        table,
        scope: scope === undefined ? undefined : scopeName(scope),
      },
    };
  });
}

/** Forwarding on the host for the families, without which a gateway leads nowhere. */
export const planForwarding = (families: ReadonlySet<4 | 6>): readonly Operation[] => [
  ...(families.has(4) ? [sysctl("net/ipv4/ip_forward", "1")] : []),
  ...(families.has(6) ? [sysctl("net/ipv6/conf/all/forwarding", "1")] : []),
];

const sysctl = (name: string, value: string): Operation => ({ kind: "set-sysctl", name, value });
