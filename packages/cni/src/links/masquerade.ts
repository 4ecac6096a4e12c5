import { createHash } from "node:crypto";
import { nft } from "@tripod/linux";
import { formatCidr, formatIp, networkOf, parseCidr } from "../ip.ts";
import { deleteCommands, deleteRules, fixedChain, listTable, makeTable, type NftTable } from "../nft-rules.ts";
import type { CniResult } from "../result.ts";
import type { NetworkAttachment } from "./host-link.ts";

const table: NftTable = { family: "inet", name: "cni_plugins_masquerade" };
const where = `${table.family} ${table.name}`;
const chain = "masq_checks";

const short = (text: string): string => createHash("sha512").update(text).digest("hex").slice(0, 16);

/** Every masquerade rule of a network has a comment that begins with this; upstream's own scheme. */
export const masqueradePrefix = (network: string): string => `${short(network)}-`;

/** The comment of an attachment's masquerade rules: upstream's own, so that either's DEL and GC understand the other's rules. */
export function masqueradeComment({ network, containerId, ifname }: NetworkAttachment): string {
  const plain = (text: string): string => text.replaceAll('"', "");
  const hash = `${masqueradePrefix(network)}${short(`${ifname}:${containerId}`)}`;
  return `${hash}, net: ${plain(network)}, if: ${plain(ifname)}, id: ${plain(containerId)}`.slice(0, 128);
}

/** The masquerade rules of an attachment, as "saddr, daddr" conditions: what leaves for anywhere but the own subnet. */
export const masqueradeMatches = ({ ips }: Pick<CniResult, "ips">): readonly string[] =>
  ips.map(({ address }) => {
    const cidr = parseCidr(address);
    const ip = cidr.ip.family === 4 ? "ip" : "ip6";
    const subnet = formatCidr({ ip: networkOf(cidr), prefix: cidr.prefix });
    return `${ip} saddr ${formatIp(cidr.ip)} ${ip} daddr != ${subnet}`;
  });

/** What finds an attachment's rules: the part of the comment that is never cut. */
const hashIn = (comment: string): string => comment.slice(0, 33);
const hashOf = (attachment: NetworkAttachment): string => hashIn(masqueradeComment(attachment));

/**
 * Adds an attachment's masquerade rules to upstream's own table, in its form, in place of any that are left of it; all in one
 * transaction. Inside withRuleLock().
 */
export function addMasquerade(attachment: NetworkAttachment, matches: readonly string[]): void {
  const comment = masqueradeComment(attachment);
  const content = listTable(table);
  const hash = hashIn(comment);
  nft(
    [
      ...makeTable(table, content),
      ...fixedChain(table, content, {
        name: "postrouting",
        before: [`add chain ${where} ${chain}`],
        declaration: "{ type nat hook postrouting priority srcnat; }",
        rules: ["ip daddr 224.0.0.0/4 return", "ip6 daddr ff00::/8 return", `goto ${chain}`],
      }),
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
  deleteRules(table, (comment) => comment.startsWith(masqueradePrefix(network)) && !hashes.has(hashIn(comment)));
}
