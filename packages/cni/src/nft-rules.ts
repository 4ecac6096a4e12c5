import { nft, type NftRuleName, readNft } from "@tripod/linux";
import { withFileLock } from "./file-lock.ts";

/** A table of the host's rule set. */
export interface NftTable {
  readonly family: "ip" | "ip6" | "inet" | "bridge";
  readonly name: string;
}

/** A rule that says in its comment whose it is. The handle names it alone, whatever is added or deleted meanwhile. */
export type NftRule = NftRuleName;

export interface NftTableContent {
  /** Tripod made it, and may take it away once no rule of a container is left in it. */
  readonly own: boolean;
  readonly rules: readonly NftRule[];
}

/**
 * Runs `work`, one synchronous step, as the only program among Tripod's that changes the rule set. The lock is on the network
 * namespace itself, which every program that could change its rules can open.
 */
export const withRuleLock = <T>(signal: AbortSignal, work: () => T): Promise<T> =>
  withFileLock("/proc/self/ns/net", { readOnly: true, signal }, work);

/** What a table has of rules with comments; undefined when there is no such table. */
export const listTable = (table: NftTable): NftTableContent | undefined =>
  readNft((reader) => {
    const own = reader.hasChain(table, ownChain);
    return own || reader.hasTable(table) ? { own, rules: reader.rules(table) } : undefined;
  });

/** An empty chain marks the tables that Tripod made: libnftables' JSON leaves out comments of tables before 1.0.7. */
const ownChain = "made_by_tripod";

/** The commands that make the table, with Tripod's mark when there was none before. Inside withRuleLock(). */
export function makeTable({ family, name }: NftTable, content: NftTableContent | undefined): readonly string[] {
  return content === undefined ? [`add table ${family} ${name}`, `add chain ${family} ${name} ${ownChain}`] : [];
}

/** The commands that delete the rules of a listing whose comment `isStale`; each is named by its handle. */
export const deleteCommands = (
  { family, name }: NftTable,
  content: NftTableContent | undefined,
  isStale: (comment: string) => boolean,
): readonly string[] =>
  (content?.rules ?? [])
    .filter(({ comment }) => comment !== "" && isStale(comment))
    .map(({ chain, handle }) => `delete rule ${family} ${name} ${chain} handle ${handle}`);

/** Begins the comments of rules that are no container's. No container's id begins with a dot. */
const fixedMark = ".fixed-";

/** FNV-1a: tells texts apart that nobody contrived to be alike. */
function fingerprint(text: string): string {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, "0");
}

/**
 * The commands that make a chain whose rules are the same for all containers, none where they are there already, as for openChain().
 * `before`: commands that make what its rules refer to; while they are there, that is, too.
 */
export function fixedChain(
  { family, name }: NftTable,
  content: NftTableContent | undefined,
  chain: {
    readonly name: string;
    readonly declaration?: string;
    readonly rules: readonly string[];
    readonly before?: readonly string[];
  },
): readonly string[] {
  const where = `${family} ${name} ${chain.name}`;
  const comment = `${fixedMark}${fingerprint(chain.rules.join("\n"))}`;
  const present = (content?.rules ?? []).filter((rule) => rule.chain === chain.name);
  if (present.length === chain.rules.length && present.every((rule) => rule.comment === comment)) return [];
  return [
    ...(chain.before ?? []),
    `add chain ${where} ${chain.declaration ?? ""}`,
    `flush chain ${where}`,
    ...chain.rules.map((rule) => `add rule ${where} ${rule} comment "${comment}"`),
  ];
}

/**
 * Deletes the rules whose comment `isStale`, in one transaction. A table of Tripod's own in which no container's rule is left goes
 * with them. To be called inside withRuleLock().
 */
export function deleteRules(table: NftTable, isStale: (comment: string) => boolean): void {
  const content = listTable(table);
  if (content === undefined) return;
  const commands = deleteCommands(table, content, isStale);
  const commented = content.rules.filter(({ comment }) => comment !== "" && !comment.startsWith(fixedMark)).length;
  if (content.own && commands.length === commented) nft(`delete table ${table.family} ${table.name}`);
  else if (commands.length > 0) nft(`${commands.join("\n")}\n`);
}
