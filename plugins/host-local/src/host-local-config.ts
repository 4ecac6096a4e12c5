import { existsSync, readFileSync } from "node:fs";
import { TripodError } from "@tripod/base";
import {
  type CniDns,
  type CniRoute,
  compactDns,
  Fields,
  formatIp,
  type Ip,
  isJsonObject,
  type JsonObject,
  parseCidr,
  parseIp,
  parseRoutes,
  type PluginCall,
} from "@tripod/cni/sdk";
import { describeRange, inRange, parseRangeSet, type RangeSet } from "./address-range.ts";

/** Where reservations are kept when the configuration does not say; upstream's default, so that both share it. */
const defaultDataDir = "/var/lib/cni/networks";

/** What host-local is asked to do. */
export interface HostLocalConfig {
  readonly dataDir: string;
  readonly sets: readonly RangeSet[];
  readonly routes: readonly CniRoute[];
  readonly dns: CniDns;
  /** Addresses that the caller wants; each is in one of the sets, and no two in the same. */
  readonly wanted: readonly Ip[];
}

const withoutPrefix = (text: string): Ip => (text.includes("/") ? parseCidr(text).ip : parseIp(text));

function parseSets(ipam: Fields, runtime: Fields): readonly RangeSet[] {
  const lists = [...runtime.list("ipRanges"), ...ipam.list("ranges")].map((list): readonly JsonObject[] => {
    const items = Array.isArray(list) ? list.filter(isJsonObject) : [];
    if (!Array.isArray(list) || items.length !== list.length)
      throw new TripodError(
        "invalid",
        'host-local: "ranges" is not a list of lists of ranges: [[{"subnet": "10.1.0.0/16"}]]',
      );
    return items;
  });
  // The form of old: one range's keys beside "type".
  const sets = (ipam.has("subnet") ? [[ipam.object], ...lists] : lists).map(parseRangeSet);
  if (sets.length === 0)
    throw new TripodError("invalid", 'host-local: no ranges; add "ranges": [[{"subnet": "10.1.0.0/16"}]]');
  return sets;
}

/** Sorts what the caller wants into the sets; what fits none, or does not fit beside another, is "invalid". */
function checkWanted(wanted: readonly Ip[], sets: readonly RangeSet[]): void {
  const used = new Set<RangeSet>();
  for (const ip of wanted) {
    const set = sets.find((candidate) => !used.has(candidate) && candidate.some((range) => inRange(range, ip)));
    if (set === undefined) {
      const ranges = sets.flat().map(describeRange).join(", ");
      throw new TripodError(
        "invalid",
        `host-local: requested address ${formatIp(ip)} is in no range that is left (${ranges})`,
      );
    }
    used.add(set);
  }
}

/** The resolver's settings of a resolv.conf(5). */
export function parseResolvConf(text: string): CniDns {
  const lists: Record<"nameserver" | "search" | "options", string[]> = { nameserver: [], search: [], options: [] };
  let domain: string | undefined;
  for (const line of text.split("\n")) {
    const [key, ...values] = line.trim().split(/\s+/);
    if (key === "domain" && values[0] !== undefined) domain = values[0];
    else if (key === "nameserver" || key === "search" || key === "options") lists[key].push(...values);
  }
  return compactDns({ nameservers: lists.nameserver, domain, search: lists.search, options: lists.options });
}

/** Reads the `ipam` part of the configuration, with what capabilities and CNI_ARGS ask for. Throws "invalid". */
export function parseHostLocalConfig(call: Pick<PluginCall, "config" | "args">): HostLocalConfig {
  const config = new Fields(call.config, "host-local configuration");
  const ipam = new Fields(config.objectAt("ipam"), "host-local: ipam");
  const runtime = new Fields(config.objectAt("runtimeConfig"), "host-local: runtimeConfig");
  const cniArgs = new Fields(
    new Fields(config.objectAt("args"), "host-local: args").objectAt("cni"),
    "host-local: args.cni",
  );
  const sets = parseSets(ipam, runtime);
  const named = call.args.get("IP");
  const wanted = [
    ...(named === undefined ? [] : named.split(",")),
    ...cniArgs.strings("ips"),
    ...runtime.strings("ips"),
  ]
    .filter((text) => text !== "")
    .map(withoutPrefix);
  checkWanted(wanted, sets);
  const resolvConf = ipam.string("resolvConf", "");
  if (resolvConf !== "" && !existsSync(resolvConf))
    throw new TripodError("invalid", `host-local: resolvConf ${resolvConf} does not exist`);
  return {
    dataDir: ipam.absolutePath("dataDir", defaultDataDir),
    sets,
    routes: parseRoutes(ipam.objects("routes")),
    dns: resolvConf === "" ? {} : parseResolvConf(readFileSync(resolvConf, "utf8")),
    wanted,
  };
}
