import { isTripodError } from "@tripod/base";
import { type Link, namespaceExists, nft, openRtnetlink, type Rtnetlink } from "@tripod/linux";
import { masqueradeComment } from "./links/masquerade.ts";
import type { CachedAttachment } from "./result-cache.ts";

/** An interface, with names in place of the kernel's indexes. */
export interface LinkView {
  readonly name: string;
  /** "veth", "bridge", …; "device" for `lo` and hardware. */
  readonly kind: string;
  readonly up: boolean;
  readonly mtu: number;
  readonly mac: string;
  /** The bridge or VRF that it is part of. */
  readonly master?: string;
  /** The interface of the host at a veth's other end, or on which it is made (macvlan, ipvlan, VLAN). */
  readonly lower?: string;
  /** "10.88.0.2/16". */
  readonly addresses: readonly string[];
}

/** What a runtime has attached, as its namespace has it now. */
export interface AttachmentView {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
  /** "NAMESPACE/NAME", where the runtime said it. */
  readonly pod?: string;
  readonly netns: string;
  /** "cut-off": its ADD never ended. "gone": its namespace is not there; DEL is due. */
  readonly state: "attached" | "cut-off" | "gone";
  readonly links: readonly LinkView[];
  /** "default via 10.88.0.1". */
  readonly routes: readonly string[];
}

/** A rule of nftables, or an element of a set or a map. */
export interface RuleView {
  /** "inet cni_plugins_masquerade". */
  readonly table: string;
  /** Or the set or map. */
  readonly chain: string;
  readonly rule: string;
  /** "CONTAINER/IFNAME" of the attachments that it serves. */
  readonly attachments: readonly string[];
}

/** A node's container network as the kernel has it. */
export interface NetworkView {
  readonly host: readonly LinkView[];
  readonly attachments: readonly AttachmentView[];
  readonly rules: readonly RuleView[];
}

export const attachmentName = ({ containerId, ifname }: Pick<AttachmentView, "containerId" | "ifname">): string =>
  `${containerId}/${ifname}`;

function viewOf(link: Link, there: Rtnetlink, host: Rtnetlink): LinkView {
  const nameOf = (index: number | undefined, where: Rtnetlink): string | undefined =>
    index === undefined || index === 0 ? undefined : where.findLink(index)?.name;
  const master = nameOf(link.master, there);
  const lower = there === host ? undefined : nameOf(link.parent, link.peerNetnsId === undefined ? there : host);
  return {
    name: link.name,
    kind: link.kind ?? "device",
    up: link.up,
    mtu: link.mtu,
    mac: link.mac,
    ...(master !== undefined && { master }),
    ...(lower !== undefined && { lower }),
    addresses: there.addresses({ index: link.index }).map(({ address }) => address),
  };
}

function attachmentView(attachment: CachedAttachment, host: Rtnetlink): AttachmentView {
  const { network, containerId, ifname, netns, args, result } = attachment;
  const pod = ["K8S_POD_NAMESPACE", "K8S_POD_NAME"].map((key) => args.find(([name]) => name === key)?.[1]);
  const known = {
    network: network.name,
    containerId,
    ifname,
    netns,
    ...(pod.every((part) => part !== undefined) && { pod: pod.join("/") }),
  };
  if (netns === "" || !namespaceExists(netns)) return { ...known, state: "gone", links: [], routes: [] };
  using there = openRtnetlink({ netns });
  const nameOf = (index: number | undefined): string =>
    index === undefined ? "" : ` dev ${there.findLink(index)?.name ?? index}`;
  const routes = there
    .routes()
    .filter(({ table, protocol }) => table !== 255 && protocol !== 2) // neither the local table nor what the kernel made
    .map(({ dst, gateway, index }) => `${dst}${gateway === undefined ? "" : ` via ${gateway}`}${nameOf(index)}`);
  const links = there.links().filter(({ loopback }) => !loopback);
  return {
    ...known,
    state: result === undefined ? "cut-off" : "attached",
    links: links.map((link) => viewOf(link, there, host)),
    routes,
  };
}

/** Whether a rule's comment is that of an attachment: it has the container's id in it, or, where it is cut, begins with upstream's hash. */
const isOf = (comment: string, attachment: AttachmentView): boolean =>
  comment.split(/[^A-Za-z0-9_.-]+/).includes(attachment.containerId) ||
  comment.startsWith(masqueradeComment(attachment).slice(0, 33));

/** The host's rules that serve one of the attachments, by their comments. */
function rulesOf(attachments: readonly AttachmentView[]): RuleView[] {
  let listing: string;
  try {
    listing = nft("list ruleset", { stateless: true });
  } catch (error) {
    if (isTripodError(error, "not-found")) return [];
    throw error;
  }
  const rules: RuleView[] = [];
  let [table, chain] = ["", ""];
  for (const line of listing.split("\n").map((text) => text.trim())) {
    const opened = /^(table|chain|set|map) (.+) \{$/.exec(line);
    if (opened?.[1] === "table") table = opened[2] ?? "";
    else if (opened !== null) chain = opened[2] ?? "";
    const element = line.replace(/^elements = \{ /, "").replace(/( \}|,)$/, "");
    const [, comment] = / comment "(.*?)"(?: : [^"]*)?$/.exec(element) ?? [];
    if (comment === undefined) continue;
    const served = attachments.filter((attachment) => isOf(comment, attachment));
    if (served.length > 0) rules.push({ table, chain, rule: element, attachments: served.map(attachmentName) });
  }
  return rules;
}

/** Looks at the host, at the namespace of each attachment, and at the rules that serve them. Changes nothing. */
export function networkView(attachments: readonly CachedAttachment[]): NetworkView {
  using host = openRtnetlink();
  const views = attachments.map((attachment) => attachmentView(attachment, host));
  return { host: host.links().map((link) => viewOf(link, host, host)), attachments: views, rules: rulesOf(views) };
}
