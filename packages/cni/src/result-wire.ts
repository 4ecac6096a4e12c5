import { formatIp, parseCidr, parseIp } from "./ip.ts";
import { CniError, cniCodes } from "./cni-error.ts";
import { compact, Fields, isJsonObject, type JsonObject, type JsonValue } from "./json.ts";
import { type CniDns, type CniInterface, type CniIp, type CniResult, type CniRoute, emptyResult } from "./result.ts";
import { atLeast, supportedVersions } from "./version.ts";

const most = 65_536;
const integer = (fields: Fields, key: string): number | undefined => fields.optionalInteger(key, 0, 0xffffffff);

/** A copy in which every key has a value: results carry no undefined. */
const present = <T extends object>(object: { readonly [K in keyof T]: T[K] | undefined }): T =>
  Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as T; // only undefined went

function parseInterface(object: JsonObject): CniInterface {
  const fields = new Fields(object, "CNI result: interface");
  return present<CniInterface>({
    name: fields.string("name", ""),
    mac: fields.optionalString("mac"),
    mtu: integer(fields, "mtu"),
    sandbox: fields.optionalString("sandbox"),
    socketPath: fields.optionalString("socketPath"),
    pciID: fields.optionalString("pciID"),
  });
}

function parseIpConfig(object: JsonObject, addressKey: string): CniIp {
  const fields = new Fields(object, "CNI result: ip");
  const address = fields.string(addressKey, "");
  parseCidr(address);
  const gateway = fields.optionalString("gateway");
  return present<CniIp>({
    interface: fields.optionalInteger("interface", 0, most),
    address,
    gateway: gateway === undefined || gateway === "" ? undefined : formatIp(parseIp(gateway)),
  });
}

function parseRoute(object: JsonObject): CniRoute {
  const fields = new Fields(object, "CNI result: route");
  const dst = fields.string("dst", "");
  parseCidr(dst);
  const gw = fields.optionalString("gw");
  return present<CniRoute>({
    dst,
    gw: gw === undefined || gw === "" ? undefined : formatIp(parseIp(gw)),
    mtu: integer(fields, "mtu"),
    advmss: integer(fields, "advmss"),
    priority: integer(fields, "priority"),
    table: integer(fields, "table"),
    scope: integer(fields, "scope"),
  });
}

/** The routes of a configuration, as results spell them. Throws "invalid". */
export const parseRoutes = (objects: readonly JsonObject[]): readonly CniRoute[] => objects.map(parseRoute);

/** `dns` without what is undefined or empty. */
export function compactDns(dns: { readonly [K in keyof CniDns]: CniDns[K] | undefined }): CniDns {
  return compact(dns) as CniDns; // only absent and empty members went
}

/** The DNS part of a configuration or a result. */
export function parseDns(object: JsonObject): CniDns {
  const fields = new Fields(object, "CNI dns");
  const list = (key: string): readonly string[] | undefined => (fields.has(key) ? fields.strings(key) : undefined);
  return present<CniDns>({
    nameservers: list("nameservers"),
    domain: fields.optionalString("domain"),
    search: list("search"),
    options: list("options"),
  });
}

/**
 * Reads a result of any version. One without cniVersion takes `configVersion`, and `null` or nothing at all is the empty
 * result, both as libcni takes them. Throws CNI code 1 for a version that Tripod does not know, "invalid" for a bad shape.
 */
export function parseResult(value: JsonValue | undefined, configVersion: string): CniResult {
  if (value === undefined || value === null) return emptyResult(configVersion);
  if (!isJsonObject(value)) throw new CniError(cniCodes.decoding, "CNI result: not a JSON object");
  const fields = new Fields(value, "CNI result");
  const cniVersion = fields.string("cniVersion", "") === "" ? configVersion : fields.string("cniVersion", "");
  if (!supportedVersions.includes(cniVersion))
    throw new CniError(
      cniCodes.incompatibleVersion,
      `CNI result: version ${JSON.stringify(cniVersion.slice(0, 40))} is not one that Tripod speaks`,
    );
  const dns = parseDns(fields.objectAt("dns"));
  if (!atLeast(cniVersion, "0.3.0")) {
    const families = [fields.objectAt("ip4"), fields.objectAt("ip6")].filter(
      (object) => Object.keys(object).length > 0,
    );
    return {
      cniVersion,
      interfaces: [],
      ips: families.map((object) => parseIpConfig(object, "ip")),
      routes: families.flatMap((object) => new Fields(object, "CNI result: ip4/ip6").objects("routes").map(parseRoute)),
      dns,
    };
  }
  for (const key of ["interfaces", "ips", "routes"]) {
    if (fields.list(key).length > most) throw new CniError(cniCodes.decoding, `CNI result: more than ${most} ${key}`);
  }
  return {
    cniVersion,
    interfaces: fields.objects("interfaces").map(parseInterface),
    ips: fields.objects("ips").map((object) => parseIpConfig(object, "address")),
    routes: fields.objects("routes").map(parseRoute),
    dns,
  };
}

function toLegacy(result: CniResult, cniVersion: string): JsonObject {
  const family = (wanted: 4 | 6): JsonObject | undefined => {
    const ip = result.ips.find((candidate) => parseCidr(candidate.address).ip.family === wanted);
    if (ip === undefined) return undefined;
    const routes = result.routes.filter((route) => parseCidr(route.dst).ip.family === wanted);
    return compact({ ip: ip.address, gateway: ip.gateway, routes: routes.map(({ dst, gw }) => compact({ dst, gw })) });
  };
  return { cniVersion, ...compact({ ip4: family(4), ip6: family(6), dns: result.dns }) };
}

/** The JSON of `result` as version `cniVersion` spells it; what an old version has no word for is left out. */
export function resultToJson(result: CniResult, cniVersion: string): JsonObject {
  if (!atLeast(cniVersion, "0.3.0")) return toLegacy(result, cniVersion);
  const modern = atLeast(cniVersion, "1.0.0");
  const interfaces = modern
    ? result.interfaces
    : result.interfaces.map(({ name, mac, sandbox }) => compact({ name, mac, sandbox }));
  const ips = modern
    ? result.ips
    : result.ips.map((ip) => ({ version: String(parseCidr(ip.address).ip.family), ...ip }));
  return { cniVersion, ...compact({ interfaces, ips, routes: result.routes, dns: result.dns }) };
}
