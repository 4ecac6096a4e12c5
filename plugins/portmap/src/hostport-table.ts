import { createHash } from "node:crypto";
import { fixedChain, formatIp, makeTable, type NftTable, type NftTableContent } from "@tripod/cni/sdk";
import { readNft } from "@tripod/linux";

/** Tripod's tables of mappings. To add one to maps costs the same among ten and ten thousand, as does to follow one. */
const tables: Readonly<Record<4 | 6, NftTable>> = {
  4: { family: "ip", name: "cni_hostport_maps" },
  6: { family: "ip6", name: "cni_hostport_maps" },
};

export const hostportTables: readonly NftTable[] = [tables[4], tables[6]];

export const tableOf = (family: 4 | 6): NftTable => tables[family];

/** What upstream's portmap makes, a rule a mapping, with the container's id as comment: DEL and GC take that away, too. */
export const upstreamTables: readonly NftTable[] = [
  { family: "ip", name: "cni_hostport" },
  { family: "ip6", name: "cni_hostport" },
];

type Part = "address" | "protocol" | "port";

/** The sets and maps, and what their keys are made of. Those of mappings are there once for each condition, with its hash behind the name. */
const layouts = {
  /** Ports of every address of the host. */
  ports: ["protocol", "port"],
  /** Ports of one address of the host; asked first. */
  hostip_ports: ["address", "protocol", "port"],
  /** Source and container: such connections come from the host's address. */
  hairpins: ["address", "address"],
  /** Containers for whom all connections do. */
  masq_all: ["address"],
  /** Whose mappings there are, by network: a hash, written as an IPv6 address. */
  owners: ["address"],
} as const satisfies Record<string, readonly Part[]>;

type Layout = keyof typeof layouts;
const isLayout = (name: string): name is Layout => Object.hasOwn(layouts, name);

const protocolNumbers: Readonly<Record<number, string>> = { 6: "tcp", 17: "udp", 132: "sctp" };

/** An element of one of the sets or maps. */
export interface HostportElement {
  readonly set: string;
  /** As nft writes it. */
  readonly key: string;
  /** Whose it is: see ownerName(); of `owners` see ownerElement(). */
  readonly comment: string;
}

const hash = (text: string): string => createHash("sha512").update(text).digest("hex");

/** What stands behind the names of a condition's maps and chains. */
export const suffixOf = (condition: string): string => (condition === "" ? "" : `_${hash(condition).slice(0, 8)}`);

/** A container's id, or, where that would not fit a comment, a hash of it. */
export const ownerName = (containerId: string): string =>
  containerId.length <= 100 ? containerId : `${containerId.slice(0, 60)}.${hash(containerId).slice(0, 32)}`;

const networkName = (network: string): string => hash(network).slice(0, 16);

/** The element that says that a container has mappings by a network. */
export const ownerElement = (network: string, containerId: string): HostportElement => ({
  set: "owners",
  key: formatIp({ family: 6, value: BigInt(`0x${hash(`${network}\0${containerId}`).slice(0, 32)}`) }),
  comment: `${networkName(network)} ${ownerName(containerId)}`,
});

/** The name of the container whose an element is, by whatever network. */
export const ownerIn = ({ comment }: HostportElement): string => comment.slice(comment.indexOf(" ") + 1);

/** The names of the containers that have mappings by the network. */
export const ownersOf = (network: string, elements: readonly HostportElement[]): readonly string[] =>
  elements
    .filter(({ set, comment }) => set === "owners" && comment.startsWith(`${networkName(network)} `))
    .map(ownerIn);

/** The key of an element as nft writes it; undefined in a set that is none of ours. */
function keyText({ family }: NftTable, set: string, key: Buffer): string | undefined {
  const layout = set.replace(/^(ports|hostip_ports)_[0-9a-f]{8}$/, "$1");
  if (!isLayout(layout)) return undefined;
  const addressBytes = family === "ip" && layout !== "owners" ? 4 : 16;
  let at = 0;
  const words = layouts[layout].map((part) => {
    const bytes = key.subarray(at, at + (part === "address" ? addressBytes : 4));
    at += bytes.length;
    if (part === "port") return String(bytes.readUInt16BE(0));
    if (part === "protocol") return protocolNumbers[bytes.readUInt8(0)] ?? String(bytes.readUInt8(0));
    return formatIp({ family: bytes.length === 4 ? 4 : 6, value: BigInt(`0x${bytes.toString("hex")}`) });
  });
  return words.join(" . ");
}

/** Every element of a table; none where there is no such table. */
export const listElements = (table: NftTable): readonly HostportElement[] =>
  readNft((reader) =>
    reader.sets(table).flatMap((set) =>
      reader.elements(table, set).flatMap(({ key, comment }) => {
        const text = keyText(table, set, key);
        return text === undefined ? [] : [{ set, key: text, comment }];
      }),
    ),
  );

/**
 * The commands that make what leads packets through the table's maps, for a condition; none where all of it is there. `content`: the table's
 * rules.
 */
export function tableCommands(
  family: 4 | 6,
  condition: string,
  { content, snat }: { readonly content: NftTableContent | undefined; readonly snat: boolean },
): readonly string[] {
  const table = tableOf(family);
  const { family: ip, name } = table;
  const suffix = suffixOf(condition);
  const add = (kind: "set" | "map", set: string, type: string): string =>
    `add ${kind} ${ip} ${name} ${set} { type ${type}; }`;
  const address = family === 4 ? "ipv4_addr" : "ipv6_addr";
  const port = "inet_proto . inet_service";
  const target = `${address} . inet_service`;
  const chains = [
    {
      name: `hostports${suffix}`,
      before: [
        add("map", `ports${suffix}`, `${port} : ${target}`),
        add("map", `hostip_ports${suffix}`, `${address} . ${port} : ${target}`),
        add("set", "owners", "ipv6_addr"),
      ],
      rules: [
        `dnat ${ip} to ${ip} daddr . meta l4proto . th dport map @hostip_ports${suffix}`,
        `dnat ${ip} to meta l4proto . th dport map @ports${suffix}`,
      ],
    },
    // Before the chains of upstream's portmap, where a mapping may be left over from a container that crashed.
    ...["prerouting", "output"].map((hook) => ({
      name: `${hook}${suffix}`,
      declaration: `{ type nat hook ${hook} priority -101; }`,
      rules: [`${condition} fib daddr type local jump hostports${suffix}`],
    })),
    ...(snat
      ? [
          {
            name: "masquerading",
            declaration: "{ type nat hook postrouting priority srcnat; }",
            before: [add("set", "hairpins", `${address} . ${address}`), add("set", "masq_all", address)],
            rules: [`${ip} saddr . ${ip} daddr @hairpins masquerade`, `${ip} daddr @masq_all masquerade`],
          },
        ]
      : []),
    ...(snat && family === 4 ? [localnetGuard] : []),
  ];
  return [...makeTable(table, content), ...chains.flatMap((chain) => fixedChain(table, content, chain))];
}

/**
 * Mappings that the host reaches by 127.0.0.1 need route_localnet, which would also let the container's neighbours reach what
 * listens on the host's loopback (CVE-2020-8558): such packets are dropped where they come in.
 */
const localnetGuard = {
  name: "localnet_guard",
  declaration: "{ type filter hook prerouting priority -300; }",
  rules: ['iifname != "lo" ip daddr 127.0.0.0/8 drop'],
} as const;
