import {
  deleteRules,
  hostLinkName,
  listTable,
  makeTable,
  masqueradeComment,
  masqueradePrefix,
  type NetworkAttachment,
  type NftTable,
} from "@tripod/cni/sdk";
import { nft } from "@tripod/linux";

const table: NftTable = { family: "bridge", name: "cni_macspoofchk" };
const where = `${table.family} ${table.name}`;

/** Drops frames that come from the container with another MAC than its own. Inside withRuleLock(). */
export function addSpoofCheck(attachment: NetworkAttachment, mac: string): void {
  deleteSpoofCheck(attachment);
  nft(
    [
      ...makeTable(table, listTable(table)),
      `add chain ${where} prerouting { type filter hook prerouting priority dstnat; }`,
      `add rule ${where} prerouting iifname "${hostLinkName(attachment)}" ether saddr != ${mac} drop comment "${masqueradeComment(attachment)}"`,
      "",
    ].join("\n"),
  );
}

/** Inside withRuleLock(). */
export function deleteSpoofCheck(attachment: NetworkAttachment): void {
  const comment = masqueradeComment(attachment);
  deleteRules(table, (other) => other === comment);
}

/** Inside withRuleLock(). */
export function collectSpoofChecks(network: string, valid: readonly NetworkAttachment[]): void {
  const comments = new Set(valid.map(masqueradeComment));
  deleteRules(table, (comment) => comment.startsWith(masqueradePrefix(network)) && !comments.has(comment));
}
