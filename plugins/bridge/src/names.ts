import { createHash } from "node:crypto";
import type { AttachmentKey } from "@tripod/cni/sdk";

/** An attachment of one network. */
export interface NetworkAttachment extends AttachmentKey {
  readonly network: string;
}

const digest = (algorithm: string, text: string): string => createHash(algorithm).update(text).digest("hex");

/** The host's end of the veth: it follows from the attachment, so that DEL finds it without any namespace or record. */
export const hostLinkName = ({ network, containerId, ifname }: NetworkAttachment): string =>
  `veth${digest("sha256", `${network}\0${containerId}\0${ifname}`).slice(0, 11)}`;

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

const short = (text: string): string => digest("sha512", text).slice(0, 16);

/** Every masquerade rule of a network has a comment that begins with this; upstream's own scheme. */
export const masqueradePrefix = (network: string): string => `${short(network)}-`;

/** The comment of an attachment's masquerade rules: upstream's own, so that either's DEL and GC understand the other's rules. */
export function masqueradeComment({ network, containerId, ifname }: NetworkAttachment): string {
  const plain = (text: string): string => text.replaceAll('"', "");
  const hash = `${masqueradePrefix(network)}${short(`${ifname}:${containerId}`)}`;
  return `${hash}, net: ${plain(network)}, if: ${plain(ifname)}, id: ${plain(containerId)}`.slice(0, 128);
}
