import { deleteCommands, deleteRules, listTable, makeTable, type NftTable } from "@tripod/cni/sdk";
import { nft } from "@tripod/linux";
import { masqueradeComment, masqueradePrefix, type NetworkAttachment } from "./names.ts";

const table: NftTable = { family: "inet", name: "cni_plugins_masquerade" };
const where = `${table.family} ${table.name}`;
const chain = "masq_checks";

/** What finds an attachment's rules: the part of the comment that is never cut. */
const hashOf = (attachment: NetworkAttachment): string => masqueradeComment(attachment).slice(0, 33);

/**
 * Adds an attachment's masquerade rules to upstream's own table, in its form, in place of any that are left of it. Chains and the
 * way into them are put up anew each time, as upstream does it; all in one transaction. Inside withRuleLock().
 */
export function addMasquerade(attachment: NetworkAttachment, matches: readonly string[]): void {
  const comment = masqueradeComment(attachment);
  const content = listTable(table);
  const hash = hashOf(attachment);
  nft(
    [
      ...makeTable(table, content),
      `add chain ${where} ${chain}`,
      `add chain ${where} postrouting { type nat hook postrouting priority srcnat; }`,
      `flush chain ${where} postrouting`,
      `add rule ${where} postrouting ip daddr 224.0.0.0/4 return`,
      `add rule ${where} postrouting ip6 daddr ff00::/8 return`,
      `add rule ${where} postrouting goto ${chain}`,
      ...deleteCommands(table, content, (other) => other.startsWith(hash)),
      ...matches.map((match) => `add rule ${where} ${chain} ${match} masquerade comment "${comment}"`),
      "",
    ].join("\n"),
  );
}

/** How many rules the attachment has. */
export const countMasquerade = (attachment: NetworkAttachment): number =>
  (listTable(table)?.rules ?? []).filter((rule) => rule.comment.startsWith(hashOf(attachment))).length;

/** Takes the attachment's rules away, with no need of namespace, addresses or result. Inside withRuleLock(). */
export function deleteMasquerade(attachment: NetworkAttachment): void {
  const hash = hashOf(attachment);
  deleteRules(table, (comment) => comment.startsWith(hash));
}

/** Takes away the rules of every attachment of the network but the valid ones. Inside withRuleLock(). */
export function collectMasquerade(network: string, valid: readonly NetworkAttachment[]): void {
  const hashes = new Set(valid.map(hashOf));
  deleteRules(table, (comment) => comment.startsWith(masqueradePrefix(network)) && !hashes.has(comment.slice(0, 33)));
}
