import { createHash } from "node:crypto";
import type { AttachmentKey, PluginCall } from "../plugin.ts";

/** An attachment of one network. */
export interface NetworkAttachment extends AttachmentKey {
  readonly network: string;
}

/** The attachment that a call is about. */
export const attachmentOf = ({ network, containerId, ifname }: PluginCall): NetworkAttachment => ({
  network,
  containerId,
  ifname,
});

/** The host's end of the veth: it follows from the attachment, so that DEL finds it without any namespace or record. */
export const hostLinkName = ({ network, containerId, ifname }: NetworkAttachment): string =>
  `veth${createHash("sha256").update(`${network}\0${containerId}\0${ifname}`).digest("hex").slice(0, 11)}`;

const aliasPrefix = "tripod-cni";

/** What the host's end is marked with (ip link … alias): GC reads from it whose it is. At most 255 bytes. */
export const hostLinkAlias = ({ network, containerId, ifname }: NetworkAttachment): string | undefined => {
  const alias = `${aliasPrefix} ${network} ${containerId} ${ifname}`;
  return Buffer.byteLength(alias) <= 255 ? alias : undefined; // one too long is found by DEL alone
};

/** Whose a link is; undefined when it is no end of ours. */
export function ownerOfAlias(alias: string | undefined): NetworkAttachment | undefined {
  const [prefix, network, containerId, ifname, ...more] = (alias ?? "").split(" ");
  if (prefix !== aliasPrefix || network === undefined || containerId === undefined || ifname === undefined)
    return undefined;
  return more.length === 0 ? { network, containerId, ifname } : undefined;
}
