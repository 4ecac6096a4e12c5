import { deleteCommands, listTable } from "@tripod/cni/sdk";
import { entryComment, type FirewallEntry, type FirewallState, type StrictChain, table } from "./firewall-state.ts";

/** The bit of a packet's mark that says: a container's, let through. Of those that kube-proxy, portmap, Calico and Cilium leave free. */
const admitted = 0x1000;

/** The comment of the one rule in each strict chain. */
export const strictComment = "CNI firewall plugin rules";

const where = `${table.family} ${table.name}`;

/**
 * The commands that make the table over from `state`, one transaction; the administrator's chain is made when absent, and never touched.
 * A table in which nobody has anything is deleted.
 */
export function tableCommands(state: FirewallState): readonly string[] {
  const { entries, adminChain } = state;
  const whats = (kinds: readonly FirewallEntry["kind"][]): readonly string[] => [
    ...new Set(entries.filter(({ kind }) => kinds.includes(kind)).map(({ what }) => what)),
  ];
  const empty = entries.length === 0;
  if (empty && !state.exists) return [];
  if (empty && state.own && state.adminRules === 0) return [`delete table ${where}`];
  const set = (name: string, family: 4 | 6): readonly string[] => {
    const elements = whats(["address"]).filter((address) => address.includes(":") === (family === 6));
    return [
      `add set ${where} ${name} { type ipv${family}_addr; }`,
      `flush set ${where} ${name}`,
      ...(elements.length === 0 ? [] : [`add element ${where} ${name} { ${elements.join(", ")} }`]),
    ];
  };
  const chain = (name: string, priority?: string): readonly string[] => [
    priority === undefined
      ? `add chain ${where} ${name}`
      : `add chain ${where} ${name} { type filter hook forward priority ${priority}; policy accept; }`,
    `flush chain ${where} ${name}`,
  ];
  const admit = `meta mark set meta mark or ${admitted} accept`;
  const admin = adminChain === undefined ? [] : [`add rule ${where} forward jump ${adminChain}`];
  const bridges = whats(["same-bridge", "isolated"]);
  const isolated = whats(["isolated"]);
  return [
    `add table ${where}`,
    ...(state.exists ? [] : [`add chain ${where} made_by_tripod`]),
    ...(adminChain === undefined ? [] : [`add chain ${where} ${adminChain}`]),
    ...set("pods4", 4),
    ...set("pods6", 6),
    ...chain("forward", "filter - 1"),
    ...admin,
    `add rule ${where} forward ct state related,established ip daddr @pods4 ${admit}`,
    `add rule ${where} forward ip saddr @pods4 ${admit}`,
    `add rule ${where} forward ct state related,established ip6 daddr @pods6 ${admit}`,
    `add rule ${where} forward ip6 saddr @pods6 ${admit}`,
    ...chain("members"),
    ...entries.map((entry) => `add rule ${where} members return comment "${entryComment(entry)}"`),
    ...chain("isolation_others"),
    ...chain("isolation", "filter - 2"),
    ...bridges.map((bridge) => `add rule ${where} isolation_others oifname "${bridge}" drop`),
    ...isolated.map((bridge) => `add rule ${where} isolation iifname "${bridge}" oifname "${bridge}" drop`),
    ...bridges.map(
      (bridge) => `add rule ${where} isolation iifname "${bridge}" oifname != "${bridge}" jump isolation_others`,
    ),
  ];
}

/** The commands that let marked packets through a chain that would drop them; or take that back when nobody needs it. */
export function strictCommands({ table: other, chain }: StrictChain, needed: boolean): readonly string[] {
  const content = listTable(other);
  const there = content?.rules.some((rule) => rule.chain === chain && rule.comment === strictComment) === true;
  if (!needed) return deleteCommands(other, content, (comment) => comment === strictComment);
  if (there) return [];
  // Of what iptables can print too: it refuses tables with a rule that it could not have made.
  return [
    `insert rule ${other.family} ${other.name} ${chain} meta mark and ${admitted} == ${admitted} counter accept comment "${strictComment}"`,
  ];
}
