import { isTripodError } from "@tripod/base";
import { type Link, nft, openRtnetlink, readSysctl, type Rtnetlink } from "@tripod/linux";

const kernels = 2;
const localTable = 255;
const mainTable = 254;
const settings = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"];

/** What a namespace has, a line a fact, in an order that is that of making it. */
export function networkFacts(netns: string): readonly string[] {
  using there = openRtnetlink({ netns });
  const links = there.links();
  const names = new Map(links.map((link) => [link.index, link.name]));
  return [
    ...settings.flatMap((name) => setting(name, netns)),
    ...links.flatMap((link) => linkFacts(link, { there, links })),
    ...there.routes().flatMap(({ dst, gateway, index, table, protocol, scope, metric, src }) => {
      if (protocol === kernels || table === localTable) return [];
      const way = gateway === undefined ? ` scope ${scope}` : ` via ${gateway}`;
      const more = `${table === mainTable ? "" : ` table ${table}`}${metric === 0 ? "" : ` metric ${metric}`}`;
      return [`route ${dst}${way} dev ${names.get(index ?? 0) ?? "?"}${src === undefined ? "" : ` src ${src}`}${more}`];
    }),
    ...there.rules().map(({ priority, from, to, iif, oif, table }) => {
      const parts = { from, to, iif, oif, table };
      const words = Object.entries(parts).flatMap(([key, value]) => (value === undefined ? [] : [`${key} ${value}`]));
      return `rule ${priority}: ${words.join(" ")}`;
    }),
    ...nftFacts(netns),
  ];
}

function setting(name: string, netns: string): readonly string[] {
  try {
    return [`sysctl ${name.replaceAll("/", ".")} = ${readSysctl(name, { net: netns })}`];
  } catch (error) {
    if (isTripodError(error, "not-found")) return []; // a kernel without IPv6
    throw error;
  }
}

function linkFacts(
  link: Link,
  { there, links }: { readonly there: Rtnetlink; readonly links: readonly Link[] },
): readonly string[] {
  const { name, kind = "device", mtu, up, port, vlanId, mode, promiscuous } = link;
  const master = links.find(({ index }) => index === link.master)?.name;
  const words = {
    mtu: String(mtu),
    in: master,
    vlan: vlanId === undefined ? undefined : String(vlanId),
    mode: mode === undefined ? undefined : String(mode),
  };
  const flags = { promiscuous, hairpin: port?.hairpin === true, isolated: port?.isolated === true };
  const named = Object.entries(words).flatMap(([key, value]) => (value === undefined ? [] : [`${key} ${value}`]));
  const set = Object.entries(flags).flatMap(([key, value]) => (value ? [key] : []));
  const addresses = there
    .addresses({ index: link.index })
    .filter(({ family, scope }) => family === "ipv4" || scope !== "link");
  return [
    `link ${name} ${kind} ${[...named, ...set, up ? "up" : "down"].join(" ")}`,
    ...addresses.map(({ address }) => `address ${address} on ${name}`),
    ...there
      .qdiscs(link.index)
      .filter(({ tokenBucket }) => tokenBucket !== undefined)
      .map(({ tokenBucket }) => `at most ${(tokenBucket?.rate ?? 0) * 8} bit/s out of ${name}`),
  ];
}

/** Rules, chains with a hook, and each element of sets and maps, with table and chain. */
function nftFacts(netns: string): readonly string[] {
  let listing: string;
  try {
    listing = nft("list ruleset", { stateless: true, netns });
  } catch (error) {
    if (isTripodError(error, "not-found")) return [];
    throw error;
  }
  const facts: string[] = [];
  const open: string[] = [];
  // A long list of elements has several lines.
  for (const line of listing
    .replaceAll(/,\n\s*/g, ", ")
    .split("\n")
    .map((text) => text.trim())) {
    const [, elements] = /^elements = \{ (.*) \}$/.exec(line) ?? [];
    const items = elements === undefined ? [line] : elements.split(/, (?=(?:[^"]*"[^"]*")*[^"]*$)/);
    if (line.endsWith("{"))
      open.push(
        line
          .slice(0, -1)
          .trim()
          .replace(/^(table|chain|set|map) /, ""),
      );
    else if (line === "}") open.pop();
    else if (line !== "") facts.push(...items.map((item) => `nft ${open.join(" ")}: ${item}`));
  }
  return facts;
}

/** What came and what went between two looks at a namespace. */
export interface NetworkChange {
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

export function changeBetween(before: readonly string[], after: readonly string[]): NetworkChange {
  const [old, now] = [new Set(before), new Set(after)];
  return { added: after.filter((fact) => !old.has(fact)), removed: before.filter((fact) => !now.has(fact)) };
}
