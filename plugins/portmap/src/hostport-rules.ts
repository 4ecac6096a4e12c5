import { createHash } from "node:crypto";
import { fixedChain, formatIp, type Ip, type NftTable, type NftTableContent, openChain } from "@tripod/cni/sdk";
import type { PortmapConfig, PortMapping } from "./portmap-config.ts";

/** Upstream's own tables, in its form: either's DEL takes away the other's rules. */
const tables: Readonly<Record<4 | 6, NftTable>> = {
  4: { family: "ip", name: "cni_hostport" },
  6: { family: "ip6", name: "cni_hostport" },
};

export const hostportTables: readonly NftTable[] = [tables[4], tables[6]];

export const tableOf = (family: 4 | 6): NftTable => tables[family];

/** The mappings that apply to an address. */
export const mappingsFor = ({ mappings }: PortmapConfig, { family }: Ip): readonly PortMapping[] =>
  mappings.filter((mapping) => mapping.family === undefined || mapping.family === family);

/** The chain, led into by nothing, that has a rule for each container that a network has mapped ports for. */
export const ownersChain = (network: string): string =>
  `owners_${createHash("sha512").update(network).digest("hex").slice(0, 16)}`;

/** How many rules with the container's comment an address has. */
export function ruleCount(config: PortmapConfig, address: Ip): number {
  const mappings = mappingsFor(config, address).length;
  if (mappings === 0) return 0;
  return 1 + mappings + (config.snat ? (address.family === 4 && !config.masqAll ? 2 : 1) : 0);
}

/**
 * The nft commands that map ports of the host to `address`, one transaction; `content` is what the table has. Rules are inserted in front, those with a host address
 * into a chain that is asked first: a mapping left over from a container that crashed never hides a new one.
 */
export function hostportCommands(
  config: PortmapConfig,
  address: Ip,
  owner: { readonly network: string; readonly containerId: string },
  content: NftTableContent | undefined,
): readonly string[] {
  const comment = owner.containerId;
  const mappings = mappingsFor(config, address);
  if (mappings.length === 0) return [];
  const four = address.family === 4;
  const hostports = tableOf(address.family);
  const table = `${hostports.family} ${hostports.name}`;
  const ip = four ? "ip" : "ip6";
  const container = formatIp(address);
  const conditions = four ? config.conditionsV4 : config.conditionsV6;
  const fixed = (chain: string, declaration: string, rules: readonly string[]): readonly string[] =>
    fixedChain(hostports, content, { name: chain, declaration, rules });
  const open = (chain: string, declaration = ""): readonly string[] =>
    openChain(hostports, content, { name: chain, declaration });
  const entry = (chain: string): readonly string[] =>
    fixed(chain, `{ type nat hook ${chain} priority -100; }`, [
      `${conditions} fib daddr type local jump hostports_all`,
    ]);
  const dnat = ({ protocol, hostIp, hostPort, containerPort }: PortMapping): string => {
    const chain = hostIp === undefined ? "hostports" : "hostip_hostports";
    const daddr = hostIp === undefined ? "" : `${ip} daddr ${formatIp(hostIp)} `;
    const target = four ? `${container}:${containerPort}` : `[${container}]:${containerPort}`;
    return `insert rule ${table} ${chain} ${daddr}${protocol} dport ${hostPort} dnat to ${target} comment "${comment}"`;
  };
  const source = config.masqAll ? (four ? "0.0.0.0/0" : "::/0") : container;
  const masquerade = (saddr: string): string =>
    `add rule ${table} masquerading ${ip} saddr ${saddr} ${ip} daddr ${container} masquerade comment "${comment}"`;
  return [
    ...fixedChain(hostports, content, {
      name: "hostports_all",
      leadsTo: ["hostip_hostports", "hostports"],
      rules: ["jump hostip_hostports", "jump hostports"],
    }),
    ...entry("prerouting"),
    ...entry("output"),
    ...(config.snat ? open("masquerading", "{ type nat hook postrouting priority srcnat; }") : []),
    ...(config.snat && four ? fixed("localnet_guard", ...localnetGuard) : []),
    ...open(ownersChain(owner.network)),
    `add rule ${table} ${ownersChain(owner.network)} return comment "${comment}"`,
    ...mappings.map(dnat),
    ...(config.snat ? [masquerade(source)] : []),
    ...(config.snat && four && !config.masqAll ? [masquerade("127.0.0.1")] : []),
  ];
}

/**
 * Mappings that the host reaches by 127.0.0.1 need route_localnet, which would also let the container's neighbours reach what
 * listens on the host's loopback (CVE-2020-8558): such packets are dropped where they come in.
 */
const localnetGuard = [
  "{ type filter hook prerouting priority -300; }",
  ['iifname != "lo" ip daddr 127.0.0.0/8 drop'],
] as const;
