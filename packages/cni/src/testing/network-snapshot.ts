import { type Link, openRtnetlink, readSysctl } from "@tripod/linux";

/** What a namespace has, a line a fact: "link eth0 mtu" to "1500". */
export type NetworkSnapshot = ReadonlyMap<string, string>;

export interface SnapshotOptions {
  /** The caller's namespace unless told. */
  readonly netns?: string | undefined;
  /** MACs that somebody asked for: all others are the kernel's choice, and count as one. */
  readonly macs?: ReadonlySet<string>;
}

const settings = [
  "net/ipv4/conf/IF/arp_notify",
  "net/ipv4/conf/IF/forwarding",
  "net/ipv6/conf/IF/disable_ipv6",
  "net/ipv6/conf/IF/ndisc_notify",
  "net/ipv6/conf/IF/keep_addr_on_down",
  "net/ipv6/conf/IF/accept_ra",
  "net/ipv6/conf/IF/forwarding",
];

/** The kernel's own: addresses of links by MAC, multicast, and the table of what is local, which follows from the addresses. */
const isKernels = (dst: string, table: number): boolean => table === 255 || /^(fe80|ff00):/.test(dst);

/**
 * Links, addresses, routes, rules and settings of a namespace, without what differs from one time to the next: indexes, names that a plugin
 * chose (a veth's end on the host), MACs that nobody asked for, what the kernel adds by itself, and who made a route.
 */
export function networkSnapshot({ netns, macs = new Set() }: SnapshotOptions = {}): NetworkSnapshot {
  using rtnetlink = openRtnetlink({ netns });
  const links = rtnetlink.links();
  const names = new Map(links.map((link) => [link.index, nameOf(link)]));
  const named = (index: number | undefined): string => (index === undefined ? "" : (names.get(index) ?? "elsewhere"));
  const facts = new Map<string, string>();
  for (const link of links) {
    const at = `link ${nameOf(link)}`;
    facts.set(`${at} kind`, link.kind ?? "");
    facts.set(`${at} up`, String(link.up));
    facts.set(`${at} mtu`, String(link.mtu));
    facts.set(`${at} mac`, macs.has(link.mac) || link.loopback ? link.mac : "by chance");
    facts.set(`${at} master`, named(link.master));
    facts.set(`${at} promiscuous`, String(link.promiscuous));
    for (const key of ["mode", "vlanId", "txQueueLength", "broadcastQueueLength"] as const)
      if (link[key] !== undefined) facts.set(`${at} ${key}`, String(link[key]));
    if (link.tun !== undefined) facts.set(`${at} tun`, JSON.stringify(link.tun));
    for (const setting of settings) {
      const value = attempt(() => readSysctl(setting.replace("IF", link.name), { net: netns }));
      if (value !== undefined) facts.set(`sysctl ${setting.replace("IF", nameOf(link))}`, value);
    }
  }
  for (const { index, address, scope, peer, family } of rtnetlink.addresses()) {
    if (family === "ipv6" && scope === "link") continue;
    facts.set(`address ${address} of ${named(index)}`, `scope ${scope}${peer === undefined ? "" : ` peer ${peer}`}`);
  }
  for (const { dst, family, gateway, index, src, scope, type, table, metric, mtu } of rtnetlink.routes()) {
    if (isKernels(dst, table)) continue;
    const way = `${gateway === undefined ? "" : ` via ${gateway}`} dev ${named(index)}`;
    facts.set(
      `route ${family} ${dst}${way} table ${table}`,
      `${type} scope ${scope} metric ${metric} src ${src ?? ""} mtu ${mtu ?? ""}`,
    );
  }
  for (const rule of rtnetlink.rules()) facts.set(`rule ${JSON.stringify(rule)}`, "there");
  return facts;
}

/** A veth's end that a plugin named by hash or by chance goes by its kind. */
const nameOf = ({ name, kind }: Link): string => (kind === "veth" && /^veth[0-9a-f]+$/.test(name) ? "veth*" : name);

function attempt(read: () => string): string | undefined {
  try {
    return read();
  } catch {
    return undefined; // a kernel without this setting
  }
}

/** The lines in which two snapshots differ: `what: one's value, other's value`. */
export function snapshotDifferences(one: NetworkSnapshot, other: NetworkSnapshot): readonly string[] {
  const keys = [...new Set([...one.keys(), ...other.keys()])].toSorted();
  return keys
    .filter((key) => one.get(key) !== other.get(key))
    .map((key) => `${key}: ${one.get(key) ?? "(none)"}, ${other.get(key) ?? "(none)"}`);
}
