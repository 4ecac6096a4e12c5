import { isTripodError } from "@tripod/base";
import { Fields, isJsonObject, type JsonObject, type NftTable } from "@tripod/cni/sdk";
import { nft } from "@tripod/linux";

/** The plugin's own table. */
export const table: NftTable = { family: "inet", name: "cni_firewall" };

/** A line of the table's record: something that a container has, or wants. */
export interface FirewallEntry {
  /** Whose it is. */
  readonly owner: string;
  readonly kind: "address" | "same-bridge" | "isolated";
  /** The address, or the bridge. */
  readonly what: string;
}

/** What the table has; all of it follows from these. */
export interface FirewallState {
  readonly exists: boolean;
  /** Tripod made the table. */
  readonly own: boolean;
  readonly entries: readonly FirewallEntry[];
  /** The administrator's chain that is asked first. */
  readonly adminChain: string | undefined;
  /** How many rules the administrator has made: the table stays for them. */
  readonly adminRules: number;
}

const nothing: FirewallState = {
  exists: false,
  own: false,
  entries: [],
  adminChain: undefined,
  adminRules: 0,
};

const mark = "made_by_tripod";
/** The chains that are made anew from the state each time; rules in others are not ours. */
const ownChains: ReadonlySet<string> = new Set(["forward", "isolation", "isolation_others", "members", mark]);

const objects = (listing: string, kind: string): readonly JsonObject[] => {
  const root: unknown = JSON.parse(listing);
  const items = isJsonObject(root) ? new Fields(root, "nft list").objects("nftables") : [];
  return items.map((item) => item[kind]).filter(isJsonObject);
};

/** The comment of a rule in the chain of members; that chain is the record, which nothing leads into. */
export const entryComment = ({ owner, kind, what }: FirewallEntry): string => `${owner} ${kind} ${what}`;

function parseEntry(comment: string): FirewallEntry | undefined {
  const [owner = "", kind, what = ""] = comment.split(" ");
  return kind === "address" || kind === "same-bridge" || kind === "isolated" ? { owner, kind, what } : undefined;
}

/** Reads the table. Inside withRuleLock(). */
export function readState(): FirewallState {
  let listing: string;
  try {
    listing = nft(`list table ${table.family} ${table.name}`, { json: true, stateless: true });
  } catch (error) {
    if (isTripodError(error, "not-found")) return nothing;
    throw error;
  }
  const rules = objects(listing, "rule").map((rule) => new Fields(rule, "nft rule"));
  const chains = objects(listing, "chain").map((chain) => new Fields(chain, "nft chain").string("name", ""));
  return {
    exists: true,
    own: chains.includes(mark),
    entries: rules
      .filter((rule) => rule.string("chain", "") === "members")
      .flatMap((rule) => parseEntry(rule.string("comment", "")) ?? []),
    adminChain: chains.find((name) => !ownChains.has(name)),
    adminRules: rules.filter((rule) => !ownChains.has(rule.string("chain", ""))).length,
  };
}

/** A base chain of another's through which everything forwarded must go, and which drops what it does not know. */
export interface StrictChain {
  readonly table: NftTable;
  readonly chain: string;
}

/** The forward chains on this host that drop by policy, iptables' own among them, and firewalld's, which rejects in its last rule. */
export function strictChains(): readonly StrictChain[] {
  return objects(nft("list chains", { json: true, stateless: true }), "chain").flatMap((chain) => {
    const { family, table: name, name: ofChain, hook, policy } = chain;
    if (hook !== "forward" || (policy !== "drop" && name !== "firewalld") || name === table.name) return [];
    if ((family !== "ip" && family !== "ip6" && family !== "inet") || typeof name !== "string") return [];
    return typeof ofChain === "string" ? [{ table: { family, name }, chain: ofChain }] : [];
  });
}
