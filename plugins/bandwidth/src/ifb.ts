import { createHash } from "node:crypto";
import { hostLinkAlias, type NetworkAttachment, ownerOfAlias } from "@tripod/cni/sdk";
import { type Link, type Rtnetlink } from "@tripod/linux";

const prefix = "bwp";
const named = (text: string): string => `${prefix}${createHash("sha512").update(text).digest("hex")}`.slice(0, 15);

/** Upstream's name, which is the same for every interface of a container in a network; and one for a second interface. */
const namesOf = ({ network, containerId, ifname }: NetworkAttachment): readonly [string, string] => [
  named(network + containerId),
  named(`${network}\0${containerId}\0${ifname}`),
];

const isOf = (link: Link, attachment: NetworkAttachment): boolean => {
  const owner = ownerOfAlias(link.alias);
  // One without a mark is upstream's, or has too long a mark.
  return link.kind === "ifb" && (owner === undefined || owner.ifname === attachment.ifname);
};

/** The attachment's ifb, through which goes what comes from the container; undefined when there is none. */
export const findIfb = (host: Rtnetlink, attachment: NetworkAttachment): Link | undefined =>
  namesOf(attachment)
    .map((name) => host.findLink(name))
    .find((link) => link !== undefined && isOf(link, attachment));

/** Makes it, or takes the one that an earlier ADD made. */
export function makeIfb(host: Rtnetlink, attachment: NetworkAttachment, mtu: number): Link {
  const found = findIfb(host, attachment);
  if (found !== undefined) return found;
  const [first, second] = namesOf(attachment);
  const name = host.findLink(first) === undefined ? first : second;
  // No queue length: with one, an ifb loses packets on machines whose processors are more than its queues (upstream #1097).
  host.linkAdd({ kind: "ifb", name, mtu, up: true, txQueueLength: 0, alias: hostLinkAlias(attachment) });
  return host.linkByName(name);
}

/** The network's ifbs of attachments that are not valid. */
export function staleIfbs(host: Rtnetlink, network: string, valid: readonly NetworkAttachment[]): readonly Link[] {
  const wanted = new Set(valid.map(hostLinkAlias));
  return host
    .links()
    .filter(
      ({ kind, name, alias }) =>
        kind === "ifb" && name.startsWith(prefix) && ownerOfAlias(alias)?.network === network && !wanted.has(alias),
    );
}
