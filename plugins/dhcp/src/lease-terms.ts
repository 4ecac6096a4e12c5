import { TripodError } from "@tripod/base";
import {
  type CniDns,
  type CniRoute,
  type Cidr,
  compactDns,
  formatCidr,
  formatIp,
  type Ip,
  networkOf,
} from "@tripod/cni/sdk";
import { type DhcpMessage, options } from "./dhcp-message.ts";

/** What a server gives, read from its OFFER or ACK. */
export interface LeaseTerms {
  /** With its prefix. */
  readonly address: string;
  readonly gateway?: string;
  readonly routes: readonly CniRoute[];
  readonly dns: CniDns;
  /** The server's identifier: an address. */
  readonly server: string;
  /** Seconds from the ACK on; undefined for ever. */
  readonly seconds?: number;
  /** T1 and T2: when to ask this server, and then any, to go on. Seconds from the ACK on. */
  readonly renewAfter: number;
  readonly rebindAfter: number;
}

/** Of a server that does not say; upstream's. */
const defaultSeconds = 3600;
const forever = 0xffffffff;
/** RT_SCOPE_LINK. */
const linkScope = 253;

const wrong = (why: string): TripodError => new TripodError("invalid", `DHCP server's answer: ${why}`);

export function ipOf(bytes: Uint8Array): Ip {
  return { family: 4, value: BigInt(Buffer.from(bytes).readUInt32BE(0)) };
}

export function bytesOfIp({ value }: Ip): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(Number(value));
  return bytes;
}

const isNone = (ip: Ip): boolean => ip.value === 0n;

/** The addresses of an option that is a list of them. */
function addresses(message: DhcpMessage, code: number): readonly Ip[] {
  const value = message.options.get(code) ?? new Uint8Array();
  if (value.length % 4 !== 0) throw wrong(`option ${code} has ${value.length} bytes, which are no addresses`);
  return Array.from({ length: value.length / 4 }, (_, at) => ipOf(value.subarray(at * 4, at * 4 + 4)));
}

function number(message: DhcpMessage, code: number): number | undefined {
  const value = message.options.get(code);
  if (value === undefined) return undefined;
  if (value.length !== 4) throw wrong(`option ${code} has ${value.length} bytes instead of 4`);
  return Buffer.from(value).readUInt32BE(0);
}

function prefixOf(message: DhcpMessage): number {
  const [mask] = addresses(message, options.subnetMask);
  if (mask === undefined) throw wrong("it has no subnet mask (option 1)");
  const bits = mask.value.toString(2).padStart(32, "0");
  if (!/^1*0*$/.test(bits)) throw wrong(`${formatIp(mask)} is no subnet mask`);
  return bits.lastIndexOf("1") + 1;
}

/** RFC 2132, 5.8: networks of their class. 0.0.0.0 is not allowed there. */
function staticRoutes(message: DhcpMessage): readonly CniRoute[] {
  const list = addresses(message, options.staticRoutes);
  return list.flatMap((dst, at) => {
    const gateway = list[at + 1];
    if (at % 2 !== 0 || gateway === undefined || isNone(dst)) return [];
    const first = Number(dst.value >> 24n);
    const prefix = first < 128 ? 8 : first < 192 ? 16 : first < 224 ? 24 : 32;
    return [{ dst: formatCidr({ ip: networkOf({ ip: dst, prefix }), prefix }), gw: formatIp(gateway) }];
  });
}

/** RFC 3442: a prefix, as many bytes of the network as that needs, and a router; 0.0.0.0 for what is on the link itself. */
function classlessRoutes(message: DhcpMessage): readonly CniRoute[] {
  const value = message.options.get(options.classlessRoutes) ?? new Uint8Array();
  const routes: CniRoute[] = [];
  for (let at = 0; at < value.length; ) {
    const prefix = value[at] ?? 0;
    const significant = Math.ceil(prefix / 8);
    const end = at + 1 + significant + 4;
    if (prefix > 32 || end > value.length) throw wrong("its classless routes (option 121) are cut off");
    const network = Buffer.alloc(4);
    network.set(value.subarray(at + 1, at + 1 + significant));
    const cidr: Cidr = { ip: ipOf(network), prefix };
    const router = ipOf(value.subarray(end - 4, end));
    const dst = formatCidr({ ip: networkOf(cidr), prefix });
    routes.push(isNone(router) ? { dst, scope: linkScope } : { dst, gw: formatIp(router) });
    at = end;
  }
  return routes;
}

/** A domain's name as servers send it, some with a NUL; what could not be one is left out. */
function domainOf(message: DhcpMessage): string | undefined {
  const text = Buffer.from(message.options.get(options.domainName) ?? [])
    .toString("latin1")
    .replace(/\0+$/, "");
  return /^[\w.-]{1,253}$/.test(text) ? text : undefined;
}

/** Throws "invalid" for an answer with which no container could be served. */
export function readTerms(message: DhcpMessage): LeaseTerms {
  const ip = ipOf(message.yiaddr);
  if (isNone(ip)) throw wrong("it gives no address");
  const [server] = addresses(message, options.serverIdentifier);
  if (server === undefined) throw wrong("it does not say whose it is (option 54)");
  const [gateway] = addresses(message, options.routers).filter((router) => !isNone(router));
  const classless = classlessRoutes(message);
  const byGateway = gateway === undefined ? [] : [{ dst: "0.0.0.0/0", gw: formatIp(gateway) }];
  const given = number(message, options.leaseTime) ?? defaultSeconds;
  const seconds = given === forever ? undefined : Math.max(given, 1);
  const until = seconds ?? Number.MAX_SAFE_INTEGER;
  const rebindAfter = Math.min(number(message, options.rebindingTime) ?? until * 0.875, until);
  return {
    address: formatCidr({ ip, prefix: prefixOf(message) }),
    ...(gateway === undefined ? {} : { gateway: formatIp(gateway) }),
    // Where there are classless routes the others, and the router, do not count.
    routes: classless.length > 0 ? classless : [...staticRoutes(message), ...byGateway],
    dns: compactDns({
      nameservers: addresses(message, options.nameServers).map(formatIp),
      domain: domainOf(message),
      search: undefined,
      options: undefined,
    }),
    server: formatIp(server),
    ...(seconds === undefined ? {} : { seconds }),
    renewAfter: Math.min(number(message, options.renewalTime) ?? until / 2, rebindAfter),
    rebindAfter,
  };
}
