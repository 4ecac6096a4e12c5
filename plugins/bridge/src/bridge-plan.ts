import { TripodError } from "@tripod/base";
import { type CniResult, containsIp, formatCidr, formatIp, networkOf, parseCidr, plus } from "@tripod/cni/sdk";
import type { Address, AddressSpec, BridgeVlan, Link, LinkChanges, LinkSpec, RouteSpec } from "@tripod/linux";
import type { BridgeConfig } from "./bridge-config.ts";

/** One step on the network configuration of one namespace. Links are named; what has an index is looked up when it is applied. */
export type Operation =
  | { readonly kind: "add-link"; readonly link: LinkSpec; readonly under?: string }
  | { readonly kind: "set-link"; readonly name: string; readonly changes: LinkChanges; readonly bridge?: string }
  | { readonly kind: "add-vlan"; readonly name: string; readonly vlan: BridgeVlan; readonly self?: boolean }
  | { readonly kind: "clear-vlans"; readonly name: string }
  | { readonly kind: "add-address"; readonly name: string; readonly address: Omit<AddressSpec, "index"> }
  | { readonly kind: "delete-address"; readonly name: string; readonly address: string }
  | { readonly kind: "add-route"; readonly name: string; readonly route: Omit<RouteSpec, "index"> }
  | { readonly kind: "set-sysctl"; readonly name: string; readonly value: string };

/** What the host has before. */
export interface HostState {
  readonly bridge: Link | undefined;
  /** The link that holds the gateway's addresses: the bridge, or its VLAN interface. */
  readonly gateway: Link | undefined;
  /** Of that link. */
  readonly addresses: readonly Address[];
}

/** The link that holds the gateway's addresses. */
export const gatewayLinkName = ({ bridge, vlan }: BridgeConfig): string => (vlan === 0 ? bridge : `${bridge}.${vlan}`);

const filtersVlans = ({ vlan, trunk }: BridgeConfig): boolean => vlan !== 0 || trunk.length > 0;

/** IPAM's result as the bridge makes it: gateways where they are missing, the default route, addresses on the container's interface. */
export function completeResult(config: BridgeConfig, ipam: CniResult): CniResult {
  if (ipam.ips.length === 0)
    throw new TripodError("invalid", `bridge: IPAM plugin ${config.ipam ?? ""} gave no address`);
  const ips = ipam.ips.map((ip) => {
    const cidr = parseCidr(ip.address);
    const gateway = ip.gateway ?? (config.isGateway ? formatIp(plus(networkOf(cidr), 1n)) : undefined);
    return { interface: 2, address: ip.address, ...(gateway === undefined ? {} : { gateway }) };
  });
  const routes = [...ipam.routes];
  if (config.isDefaultGateway) {
    for (const { address, gateway } of ips) {
      const dst = parseCidr(address).ip.family === 4 ? "0.0.0.0/0" : "::/0";
      const known = routes.some((route) => route.dst === dst && route.gw !== undefined);
      if (!known && gateway !== undefined) routes.push({ dst, gw: gateway });
    }
  }
  return { ...ipam, ips, routes };
}

/** The gateway's addresses with the prefixes of the containers' addresses; each once. */
export const gatewayAddresses = (config: BridgeConfig, { ips }: Pick<CniResult, "ips">): readonly string[] =>
  config.isGateway
    ? [
        ...new Set(
          ips.flatMap(({ address, gateway }) =>
            gateway === undefined ? [] : `${gateway}/${parseCidr(address).prefix}`,
          ),
        ),
      ]
    : [];

/** Makes the bridge what the configuration says; nothing when it is that already. */
export function planBridge(config: BridgeConfig, state: HostState, mac: string): readonly Operation[] {
  const { bridge: name } = config;
  const { bridge } = state;
  if (bridge === undefined) {
    const link: LinkSpec = {
      kind: "bridge",
      name,
      mac,
      mtu: config.mtu,
      up: true,
      vlanFiltering: filtersVlans(config) || undefined,
    };
    return [
      // A MAC of its own from the start: else the bridge would take over that of a port, and change it as ports come and go.
      { kind: "add-link", link },
      { kind: "set-sysctl", name: `net/ipv6/conf/${name}/accept_ra`, value: "0" },
      ...(config.promiscMode ? [{ kind: "set-link" as const, name, changes: { promiscuous: true } }] : []),
    ];
  }
  if (bridge.kind !== "bridge") {
    throw new TripodError(
      "failed-precondition",
      `${name} is a ${bridge.kind ?? "network interface"}, not a bridge; name another in "bridge"`,
    );
  }
  const changes: LinkChanges = {
    ...(bridge.up ? {} : { up: true }),
    ...(config.promiscMode && !bridge.promiscuous ? { promiscuous: true } : {}),
    ...(filtersVlans(config) && bridge.bridge?.vlanFiltering !== true ? { vlanFiltering: true } : {}),
  };
  return Object.keys(changes).length === 0 ? [] : [{ kind: "set-link", name, changes }];
}

/** Gives the gateway's link its addresses, and makes that link where it is a VLAN interface. */
export function planGateway(config: BridgeConfig, state: HostState, gateways: readonly string[]): readonly Operation[] {
  if (gateways.length === 0) return [];
  const name = gatewayLinkName(config);
  const operations: Operation[] = [];
  if (config.vlan !== 0 && state.gateway === undefined) {
    operations.push(
      { kind: "add-vlan", name: config.bridge, vlan: { id: config.vlan }, self: true },
      {
        kind: "add-link",
        link: { kind: "vlan", name, parent: 0, vlanId: config.vlan, up: true },
        under: config.bridge,
      },
    );
  }
  const present = state.addresses.map(({ address }) => address);
  const missing = gateways.filter((gateway) => !present.includes(gateway));
  for (const gateway of missing) {
    const wanted = parseCidr(gateway);
    for (const address of present.filter((other) => !gateways.includes(other))) {
      const other = parseCidr(address);
      // Link-local addresses and IPv6 subnets beside this one may stay; IPv4 has one subnet a bridge, as upstream has it.
      const conflicts =
        other.ip.family === wanted.ip.family &&
        !address.startsWith("fe80:") &&
        (wanted.ip.family === 4 || containsIp(other, wanted.ip) || containsIp(wanted, other.ip));
      if (!conflicts) continue;
      if (!config.forceAddress) {
        throw new TripodError(
          "failed-precondition",
          `${name} has the address ${address}, and the gateway is to be ${gateway}; remove that address, name another bridge or set forceAddress`,
        );
      }
      operations.push({ kind: "delete-address", name, address });
    }
    operations.push({ kind: "add-address", name, address: { address: gateway, noDad: true } });
  }
  return operations;
}

/** Where the pair's ends go. */
export interface VethPlan {
  readonly hostName: string;
  readonly alias: string | undefined;
  readonly netns: string;
  readonly ifname: string;
}

/** Makes the pair: the host's end is born in the host's namespace, the container's in the container's, still down. */
export function planVeth(config: BridgeConfig, { hostName, alias, netns, ifname }: VethPlan): readonly Operation[] {
  const { bridge, mtu } = config;
  const link: LinkSpec = {
    kind: "veth",
    name: hostName,
    mtu,
    alias,
    peer: { name: ifname, netns, mac: config.mac, mtu },
  };
  const port = { hairpin: config.hairpinMode, isolated: config.portIsolation };
  return [
    { kind: "add-link", link },
    { kind: "set-link", name: hostName, changes: { up: true, port }, bridge },
    ...(filtersVlans(config) && !config.preserveDefaultVlan ? [{ kind: "clear-vlans" as const, name: hostName }] : []),
    ...(filtersVlans(config)
      ? [
          {
            kind: "add-vlan" as const,
            name: hostName,
            vlan: { id: config.vlan === 0 ? 1 : config.vlan, pvid: true, untagged: true },
          },
        ]
      : []),
    ...config.trunk.map((vlan) => ({ kind: "add-vlan" as const, name: hostName, vlan })),
  ];
}

/** Addresses and routes of the container's interface. It goes up last, so that its announcement (ARP, ND) carries them. */
export function planContainer(config: BridgeConfig, ifname: string, result: CniResult): readonly Operation[] {
  if (config.disableContainerInterface) return [];
  const families = new Set(result.ips.map(({ address }) => parseCidr(address).ip.family));
  const gatewayOf = (family: 4 | 6): string | undefined =>
    result.ips.find(({ address, gateway }) => gateway !== undefined && parseCidr(address).ip.family === family)
      ?.gateway;
  return [
    ...(families.has(4)
      ? [{ kind: "set-sysctl" as const, name: `net/ipv4/conf/${ifname}/arp_notify`, value: "1" }]
      : []),
    ...(families.has(6)
      ? [
          { kind: "set-sysctl" as const, name: `net/ipv6/conf/${ifname}/disable_ipv6`, value: "0" },
          { kind: "set-sysctl" as const, name: `net/ipv6/conf/${ifname}/ndisc_notify`, value: "1" },
        ]
      : []),
    // Nobody else can have these addresses, and looking for one who has would take two seconds (IPv6 DAD).
    ...result.ips.map(({ address }) => ({
      kind: "add-address" as const,
      name: ifname,
      address: { address, noDad: !config.enableDad },
    })),
    { kind: "set-link", name: ifname, changes: { up: true } },
    ...result.routes.map(({ dst, gw, mtu, priority, table }) => {
      const gateway = gw ?? gatewayOf(parseCidr(dst).ip.family);
      return {
        kind: "add-route" as const,
        name: ifname,
        route: { dst, gateway, mtu, metric: priority, table },
      };
    }),
  ];
}

/** Forwarding, without which a gateway leads nowhere. */
export const planForwarding = (gateways: readonly string[]): readonly Operation[] => {
  const families = new Set(gateways.map((gateway) => parseCidr(gateway).ip.family));
  return [
    ...(families.has(4) ? [{ kind: "set-sysctl" as const, name: "net/ipv4/ip_forward", value: "1" }] : []),
    ...(families.has(6) ? [{ kind: "set-sysctl" as const, name: "net/ipv6/conf/all/forwarding", value: "1" }] : []),
  ];
};

/** The masquerade rules of an attachment, as "saddr, daddr" conditions: what leaves for anywhere but the own subnet. */
export const masqueradeMatches = ({ ips }: Pick<CniResult, "ips">): readonly string[] =>
  ips.map(({ address }) => {
    const cidr = parseCidr(address);
    const ip = cidr.ip.family === 4 ? "ip" : "ip6";
    const subnet = formatCidr({ ip: networkOf(cidr), prefix: cidr.prefix });
    return `${ip} saddr ${formatIp(cidr.ip)} ${ip} daddr != ${subnet}`;
  });
