import { TripodError } from "@tripod/base";
import { type CniResult, Fields, type Ip, parseCidr, parseIp, type PluginCall } from "@tripod/cni/sdk";

/** A port of the host that leads to one of the container. */
export interface PortMapping {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: "tcp" | "udp" | "sctp";
  /** Undefined for every address of the host. */
  readonly hostIp: Ip | undefined;
  /** The family that hostIP restricts the mapping to; undefined for both. */
  readonly family: 4 | 6 | undefined;
}

/** What the portmap plugin is asked to do; the keys are upstream's. */
export interface PortmapConfig {
  /** Whether the host itself and the container reach the mapping, by masquerading. */
  readonly snat: boolean;
  /** Masquerade whatever comes through a mapping. */
  readonly masqAll: boolean;
  /** Match expressions of nft(8) that a packet must satisfy beforehand. */
  readonly conditionsV4: string;
  readonly conditionsV6: string;
  readonly mappings: readonly PortMapping[];
}

const protocols = new Set(["tcp", "udp", "sctp"]);
const isProtocol = (text: string): text is PortMapping["protocol"] => protocols.has(text);

function parseMapping(fields: Fields): PortMapping | undefined {
  const hostPort = fields.optionalInteger("hostPort", 0, 65_535) ?? 0;
  if (hostPort === 0) return undefined; // CRI sends every container port, also those without a port on the host
  const containerPort = fields.optionalInteger("containerPort", 1, 65_535);
  if (containerPort === undefined)
    throw new TripodError("invalid", `portmap: host port ${hostPort} has no containerPort`);
  const protocol = fields.string("protocol", "tcp").toLowerCase();
  if (!isProtocol(protocol))
    throw new TripodError("invalid", `portmap: protocol ${JSON.stringify(protocol)} is none of tcp, udp, sctp`);
  const text = fields.string("hostIP", "");
  const ip = text === "" ? undefined : parseIp(text);
  // An unspecified address means every address of its family.
  return { hostPort, containerPort, protocol, hostIp: ip?.value === 0n ? undefined : ip, family: ip?.family };
}

function parseConditions(fields: Fields, key: string): string {
  const conditions = fields.strings(key).join(" ");
  if (/[\n;{}]/.test(conditions)) throw new TripodError("invalid", `portmap: ${key} is more than a match of nft(8)`);
  return conditions;
}

/** Throws "invalid". */
export function parsePortmapConfig(call: Pick<PluginCall, "config">): PortmapConfig {
  const fields = new Fields(call.config, "portmap configuration");
  const backend = fields.string("backend", "nftables");
  if (backend !== "nftables")
    throw new TripodError(
      "invalid",
      `portmap: backend ${JSON.stringify(backend)} is not nftables, which is all this plugin does; remove the key`,
    );
  const runtime = new Fields(fields.objectAt("runtimeConfig"), "portmap runtimeConfig");
  return {
    snat: fields.boolean("snat", true),
    masqAll: fields.boolean("masqAll", false),
    conditionsV4: parseConditions(fields, "conditionsV4"),
    conditionsV6: parseConditions(fields, "conditionsV6"),
    mappings: runtime
      .objects("portMappings")
      .flatMap((object) => parseMapping(new Fields(object, "portmap: portMapping")) ?? []),
  };
}

/** The container's address of either family to which ports lead: the first that the result gives its interface. */
export function containerAddresses(result: CniResult): readonly Ip[] {
  const inSandbox = result.ips.filter(
    (ip) => ip.interface === undefined || (result.interfaces[ip.interface]?.sandbox ?? "") !== "",
  );
  const addresses = inSandbox.map(({ address }) => parseCidr(address).ip);
  return ([4, 6] as const).flatMap((family) => addresses.find((ip) => ip.family === family) ?? []);
}
