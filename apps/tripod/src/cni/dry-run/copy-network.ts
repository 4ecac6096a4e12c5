import { isTripodError, messageOf, TripodError } from "@tripod/base";
import {
  limitEgress,
  type Link,
  nft,
  openRtnetlink,
  readSysctl,
  type Route,
  routeSpecOf,
  type Rtnetlink,
  writeSysctl,
} from "@tripod/linux";

/** A namespace and the one that is to become like it. */
export interface NetworkCopy {
  /** Path; the caller's own namespace where it is undefined. */
  readonly from: string | undefined;
  readonly to: string;
}

/** What of a namespace decides what plugins do there. */
const settings = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv6/conf/all/disable_ipv6"];
/** RTPROT_KERNEL: what the kernel makes of addresses. */
const kernels = 2;
const localTable = 255;

interface Opened {
  readonly copy: NetworkCopy;
  readonly from: Rtnetlink;
  readonly to: Rtnetlink;
  readonly links: readonly Link[];
}

/** The other end of a veth, among these namespaces. */
function peerOf(
  link: Link,
  at: Opened,
  all: readonly Opened[],
): { readonly link: Link; readonly at: Opened } | undefined {
  if (link.kind !== "veth") return undefined;
  for (const there of all) {
    if ((there === at) !== (link.peerNetnsId === undefined)) continue;
    const peer = there.links.find(
      ({ index, parent, kind }) => kind === "veth" && index === link.parent && parent === link.index,
    );
    if (peer !== undefined) return { link: peer, at: there };
  }
  return undefined;
}

/** Kinds that are made on another interface. */
const stacked: ReadonlySet<string | undefined> = new Set(["macvlan", "ipvlan", "vlan"]);
const macvlanModes = ["private", "vepa", "bridge", "passthru"] as const;
const ipvlanModes = ["l2", "l3", "l3s"] as const;

/** Makes a link that is not made on another. */
function makePlain(
  link: Link,
  at: Opened,
  { all, outside }: { readonly all: readonly Opened[]; readonly outside: string },
): void {
  const { name, mac, mtu, alias, kind } = link;
  const common = { name, mac, mtu, alias };
  if (kind === "bridge") at.to.linkAdd({ kind, ...common, vlanFiltering: link.bridge?.vlanFiltering || undefined });
  else if (kind === "ifb" || kind === "dummy") at.to.linkAdd({ kind, ...common });
  else if (kind === "vrf" && link.vrfTable !== undefined) at.to.linkAdd({ kind, ...common, table: link.vrfTable });
  else {
    const peer = peerOf(link, at, all);
    // Without one a stand-in, for hardware too: a cable that ends somewhere else.
    const elsewhere = { name: `to${at.links.indexOf(link)}x${all.indexOf(at)}`, netns: outside, up: true };
    const end =
      peer === undefined
        ? elsewhere
        : { name: peer.link.name, mac: peer.link.mac, mtu: peer.link.mtu, netns: peer.at.copy.to };
    at.to.linkAdd({ kind: "veth", ...common, peer: end });
  }
}

/** Makes a link on another one, of the same namespace or, where `peerNetnsId` says so, of another. */
function makeStacked(link: Link, at: Opened, all: readonly Opened[]): void {
  const below = all
    .filter((there) => (there === at) === (link.peerNetnsId === undefined))
    .flatMap(({ links, to }) =>
      links.filter(({ index }) => index === link.parent).map(({ name }) => ({ name, to })),
    )[0];
  if (below === undefined)
    throw new TripodError("not-found", `the interface that this ${link.kind} is on is in none of the copies`);
  const parent = below.to.linkByName(below.name).index;
  const common = { name: link.name, mtu: link.mtu, alias: link.alias, netns: at.copy.to, parent };
  const mode = link.mode ?? 0;
  // The kernel numbers a macvlan's modes by bits.
  if (link.kind === "macvlan")
    below.to.linkAdd({ kind: "macvlan", ...common, mac: link.mac, mode: macvlanModes[Math.log2(mode)] });
  else if (link.kind === "ipvlan") below.to.linkAdd({ kind: "ipvlan", ...common, mode: ipvlanModes[mode] });
  else below.to.linkAdd({ kind: "vlan", ...common, vlanId: link.vlanId ?? 0 });
}

/**
 * Makes namespaces like others: links, addresses, routes, rules, nftables, forwarding. Hardware and kinds of links that belong to something
 * elsewhere become cables that end in `outside`, under the same name. What could not be copied is returned, a line each. Of the namespaces
 * that are copied nothing is changed.
 */
export async function copyNetworks(copies: readonly NetworkCopy[], outside: string): Promise<readonly string[]> {
  using stack = new DisposableStack();
  const problems: string[] = [];
  const attempt = async (what: string, work: () => unknown): Promise<void> => {
    try {
      await work();
    } catch (error) {
      problems.push(`${what}: ${messageOf(error)}`);
    }
  };
  const all = copies.map((copy): Opened => {
    const from = stack.use(openRtnetlink({ netns: copy.from }));
    const to = stack.use(openRtnetlink({ netns: copy.to }));
    return { copy, from, to, links: from.links().filter(({ loopback }) => !loopback) };
  });
  for (const onAnother of [false, true]) {
    for (const at of all) {
      for (const link of at.links.filter(({ kind }) => stacked.has(kind) === onAnother)) {
        // It may be the other end of one that was made before.
        if (at.to.findLink(link.name) !== undefined) continue;
        await attempt(link.name, () =>
          onAnother ? makeStacked(link, at, all) : makePlain(link, at, { all, outside }),
        );
        if (link.kind === "tun") problems.push(`${link.name}: a cable stands in for a ${link.kind}`);
      }
    }
  }
  for (const at of all) {
    for (const link of at.links) await attempt(link.name, () => copyState(link, at));
    for (const route of at.from.routes()) {
      if (route.protocol !== kernels && route.table !== localTable)
        await attempt(`route ${route.dst}`, () => copyRoute(route, at));
    }
    for (const rule of at.from.rules()) {
      const isDefault = rule.priority === 0 || rule.priority === 32766 || rule.priority === 32767;
      if (!isDefault) await attempt(`rule ${rule.priority}`, () => at.to.ruleAdd(rule));
    }
    await attempt("the rules of nftables", () => {
      const ruleset = nft("list ruleset", { stateless: true, netns: at.copy.from });
      if (ruleset.trim() !== "") nft(ruleset, { netns: at.copy.to });
    });
    for (const name of settings) await attempt(name, () => copySetting(name, at.copy));
  }
  return problems;
}

async function copyState(link: Link, { copy, from, to, links }: Opened): Promise<void> {
  const master = links.find(({ index }) => index === link.master);
  const isPort = master?.kind === "bridge";
  to.linkSet(link.name, {
    up: link.up,
    alias: link.alias,
    ...(isPort && { master: to.linkByName(master.name).index }),
  });
  const { index } = to.linkByName(link.name);
  for (const address of from.addresses({ index: link.index })) {
    if (address.family === "ipv6" && address.scope === "link") continue;
    to.addressReplace({ index, address: address.address, scope: address.scope, noDad: true });
  }
  for (const { tokenBucket } of from.qdiscs(link.index))
    if (tokenBucket !== undefined) await limitEgress({ index, netns: copy.to }, tokenBucket);
}

function copyRoute(route: Route, { to, links }: Opened): void {
  const name = links.find(({ index }) => index === route.index)?.name;
  to.routeReplace({ ...routeSpecOf(route), index: name === undefined ? undefined : to.linkByName(name).index });
}

function copySetting(name: string, { from, to }: NetworkCopy): void {
  try {
    writeSysctl(name, { value: readSysctl(name, { net: from }), net: to });
  } catch (error) {
    if (!isTripodError(error, "not-found")) throw error; // a kernel without IPv6
  }
}
