import { TripodError } from "@tripod/base";
import {
  type CniResult,
  containsIp,
  formatIp,
  networkOf,
  type Operation,
  parseCidr,
  planInterface,
  plus,
} from "@tripod/cni/sdk";
import type { Address, Link, LinkChanges, LinkSpec } from "@tripod/linux";
import type { BridgeConfig } from "./bridge-config.ts";

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

/** Makes the bridge what the configuration says; nothing when it is that already. `mac` is asked for that of a new one. */
export function planBridge(config: BridgeConfig, state: HostState, mac: () => string): readonly Operation[] {
  const { bridge: name } = config;
  const { bridge } = state;
  if (bridge === undefined) {
    const link: LinkSpec = {
      kind: "bridge",
      name,
      mac: mac(),
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

/** Addresses and routes of the container's interface. */
export const planContainer = (config: BridgeConfig, ifname: string, result: CniResult): readonly Operation[] =>
  config.disableContainerInterface ? [] : planInterface(ifname, result, { dad: config.enableDad });

/** The families that gateways forward. */
export const gatewayFamilies = (gateways: readonly string[]): ReadonlySet<4 | 6> =>
  new Set(gateways.map((gateway) => parseCidr(gateway).ip.family));
