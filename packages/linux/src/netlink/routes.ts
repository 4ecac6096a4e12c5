import { TripodError } from "@tripod/base";
import { type Attribute, AttributeMap, bytes, encodeAttributes, nested, u32, when } from "./attribute.ts";
import { type Family, familyNumber, familyOf, formatAddress, parseAddress, parsePrefix } from "./ip-address.ts";
import { NLM_F } from "./message.ts";
import { RTA, RTAX, RTM, RTNH_F_ONLINK } from "./rtnetlink-numbers.ts";
import { type RouteScope, scopeName, scopeNumber } from "./scope.ts";
import type { NetlinkSocket } from "./socket.ts";

const routeTypes = [
  "unspecified",
  "unicast",
  "local",
  "broadcast",
  "anycast",
  "multicast",
  "blackhole",
  "unreachable",
  "prohibit",
  "throw",
] as const;
export type RouteType = (typeof routeTypes)[number];

/** One way of a multipath route. */
export interface NextHop {
  readonly index: number;
  readonly gateway?: string | undefined;
  /** 1 unless told. */
  readonly weight?: number | undefined;
  readonly onlink?: boolean | undefined;
}

export interface Route {
  readonly family: Family;
  /** "default" or "10.1.0.0/16". */
  readonly dst: string;
  readonly gateway: string | undefined;
  readonly index: number | undefined;
  /** The preferred source address. */
  readonly src: string | undefined;
  readonly scope: RouteScope;
  readonly type: RouteType;
  /** 254 is main, 255 local. */
  readonly table: number;
  readonly metric: number;
  /** Who made it: 2 the kernel, 3 boot, 4 an administrator; others in /etc/iproute2/rt_protos. */
  readonly protocol: number;
  readonly onlink: boolean;
  readonly mtu: number | undefined;
  /** The TCP segment size that connections by it announce, in bytes. */
  readonly advertisedMss: number | undefined;
  readonly nextHops: readonly NextHop[];
}

export interface RouteSpec {
  /** "default" (with `family`, ipv4 unless told or told by the gateway), "10.1.0.0/16" or a single address. */
  readonly dst: string;
  readonly family?: Family | undefined;
  readonly gateway?: string | undefined;
  readonly index?: number | undefined;
  readonly src?: string | undefined;
  /** "global" with a gateway or for IPv6, else "link". */
  readonly scope?: RouteScope | undefined;
  readonly type?: RouteType | undefined;
  /** 254 (main) unless told. */
  readonly table?: number | undefined;
  readonly metric?: number | undefined;
  /** 4 (static) unless told; what is told apart by when deleting, if given. */
  readonly protocol?: number | undefined;
  /** The gateway is on the link though no prefix says so. */
  readonly onlink?: boolean | undefined;
  readonly mtu?: number | undefined;
  /** The TCP segment size that connections by it announce, in bytes. */
  readonly advertisedMss?: number | undefined;
  readonly nextHops?: readonly NextHop[] | undefined;
}

export interface RouteFilter {
  readonly family?: Family | undefined;
  readonly table?: number | undefined;
  readonly index?: number | undefined;
  readonly dst?: string | undefined;
  readonly protocol?: number | undefined;
}

/** What makes the same route again; its protocol becomes "static". */
export const routeSpecOf = (route: Route): RouteSpec => ({
  dst: route.dst,
  family: route.family,
  gateway: route.gateway,
  index: route.index,
  src: route.src,
  scope: route.scope,
  type: route.type,
  table: route.table,
  metric: route.metric,
  onlink: route.onlink,
  mtu: route.mtu,
  advertisedMss: route.advertisedMss,
  ...(route.nextHops.length > 0 ? { nextHops: route.nextHops } : {}),
});

const HEADER = 12;
const RT_TABLE_MAIN = 254;
const RTPROT_STATIC = 4;

export type RouteAction = "add" | "replace" | "delete";

const actions = {
  add: { name: "RTM_NEWROUTE", type: RTM.NEWROUTE, flags: NLM_F.CREATE | NLM_F.EXCL },
  replace: { name: "RTM_NEWROUTE", type: RTM.NEWROUTE, flags: NLM_F.CREATE | NLM_F.REPLACE },
  delete: { name: "RTM_DELROUTE", type: RTM.DELROUTE, flags: 0 },
} as const;

interface Destination {
  readonly family: Family;
  readonly bytes: Buffer;
  readonly prefixLength: number;
}

function parseDestination(spec: RouteSpec): Destination {
  if (spec.dst !== "default") return parsePrefix(spec.dst);
  const hop = spec.gateway ?? spec.nextHops?.find(({ gateway }) => gateway !== undefined)?.gateway;
  const family = spec.family ?? (hop === undefined ? "ipv4" : parseAddress(hop).family);
  return { family, bytes: Buffer.alloc(family === "ipv4" ? 4 : 16), prefixLength: 0 };
}

/** The gateway's attribute: of the other family than the route's it goes into RTA_VIA (RFC 5549). */
function gatewayAttribute(gateway: string, family: Family): Attribute {
  const parsed = parseAddress(gateway);
  if (parsed.family === family) return bytes(RTA.GATEWAY, parsed.bytes);
  return bytes(RTA.VIA, Buffer.concat([Buffer.from([familyNumber(parsed.family), 0]), parsed.bytes]));
}

export function changeRoute(socket: NetlinkSocket, action: RouteAction, spec: RouteSpec): void {
  const { family, bytes: destination, prefixLength } = parseDestination(spec);
  const remove = action === "delete";
  const table = spec.table ?? RT_TABLE_MAIN;
  const direct = spec.gateway === undefined && spec.nextHops === undefined;
  const host = spec.type === "local";
  const defaultScope = remove ? "nowhere" : host ? "host" : direct && family === "ipv4" ? "link" : "global";
  const type = spec.type ?? (remove ? "unspecified" : "unicast");
  // Only routes that lead out of a link have a scope of link; "blackhole" and its like lead nowhere.
  const scope = spec.scope ?? (direct && !remove && !host && type !== "unicast" ? "global" : defaultScope);
  const header = Buffer.alloc(HEADER);
  header.writeUInt8(familyNumber(family), 0);
  header.writeUInt8(prefixLength, 1);
  header.writeUInt8(table < 256 ? table : 0, 4);
  header.writeUInt8(spec.protocol ?? (remove ? 0 : RTPROT_STATIC), 5);
  header.writeUInt8(scopeNumber(scope), 6);
  header.writeUInt8(routeTypes.indexOf(type), 7);
  header.writeUInt32LE(spec.onlink === true ? RTNH_F_ONLINK : 0, 8);
  const metrics = [
    ...when(spec.mtu, (mtu) => u32(RTAX.MTU, mtu)),
    ...when(spec.advertisedMss, (bytes) => u32(RTAX.ADVMSS, bytes)),
  ];
  const attributes = [
    ...(prefixLength === 0 ? [] : [bytes(RTA.DST, destination)]),
    u32(RTA.TABLE, table),
    ...when(spec.gateway, (gateway) => gatewayAttribute(gateway, family)),
    ...when(spec.index, (index) => u32(RTA.OIF, index)),
    ...when(spec.src, (src) => bytes(RTA.PREFSRC, parseAddress(src).bytes)),
    ...when(spec.metric, (metric) => u32(RTA.PRIORITY, metric)),
    ...(metrics.length === 0 ? [] : [nested(RTA.METRICS, metrics)]),
    ...when(spec.nextHops, (hops) => bytes(RTA.MULTIPATH, Buffer.concat(hops.map((hop) => encodeHop(hop, family))))),
  ];
  const { name, type: messageType, flags } = actions[action];
  const via = spec.gateway === undefined ? "" : ` via ${spec.gateway}`;
  const body = Buffer.concat([header, encodeAttributes(attributes)]);
  socket.request({ name, object: `${spec.dst}${via}`, type: messageType, flags, body });
}

/** struct rtnexthop and its attributes. */
function encodeHop(hop: NextHop, family: Family): Buffer {
  const attributes = encodeAttributes(when(hop.gateway, (gateway) => gatewayAttribute(gateway, family)));
  const header = Buffer.alloc(8);
  header.writeUInt16LE(header.length + attributes.length, 0);
  header.writeUInt8(hop.onlink === true ? RTNH_F_ONLINK : 0, 2);
  header.writeUInt8((hop.weight ?? 1) - 1, 3);
  header.writeInt32LE(hop.index, 4);
  return Buffer.concat([header, attributes]);
}

function decodeHops(buffer: Buffer): NextHop[] {
  const hops: NextHop[] = [];
  for (let offset = 0; offset + 8 <= buffer.length; ) {
    const length = buffer.readUInt16LE(offset);
    if (length < 8 || offset + length > buffer.length) {
      throw new TripodError("corrupt", `RTM_NEWROUTE: a next hop of ${length} bytes`);
    }
    const attributes = new AttributeMap(buffer.subarray(offset + 8, offset + length));
    hops.push({
      index: buffer.readInt32LE(offset + 4),
      gateway: decodeGateway(attributes),
      weight: buffer.readUInt8(offset + 3) + 1,
      onlink: (buffer.readUInt8(offset + 2) & RTNH_F_ONLINK) !== 0,
    });
    offset += (length + 3) & ~3;
  }
  return hops;
}

function decodeGateway(attributes: AttributeMap): string | undefined {
  const gateway = attributes.bytes(RTA.GATEWAY) ?? attributes.bytes(RTA.VIA)?.subarray(2);
  return gateway === undefined ? undefined : formatAddress(gateway);
}

/** The routes of all tables, or those that match. */
export function routes(socket: NetlinkSocket, filter: RouteFilter = {}): Route[] {
  const header = Buffer.alloc(HEADER);
  header.writeUInt8(familyNumber(filter.family), 0);
  const found: Route[] = [];
  for (const { body } of socket.request({
    name: "RTM_GETROUTE",
    object: "routes",
    type: RTM.GETROUTE,
    flags: NLM_F.DUMP,
    body: header,
  })) {
    const route = decodeRoute(body);
    if (route !== undefined && matches(route, filter)) found.push(route);
  }
  return found;
}

const matches = (route: Route, filter: RouteFilter): boolean =>
  (filter.table === undefined || route.table === filter.table) &&
  (filter.index === undefined || route.index === filter.index) &&
  (filter.dst === undefined || route.dst === filter.dst) &&
  (filter.protocol === undefined || route.protocol === filter.protocol);

function decodeRoute(body: Buffer): Route | undefined {
  if (body.length < HEADER) throw new TripodError("corrupt", `RTM_NEWROUTE: a body of ${body.length} bytes`);
  const family = familyOf(body.readUInt8(0));
  if (family === undefined) return undefined;
  const prefixLength = body.readUInt8(1);
  const attributes = new AttributeMap(body.subarray(HEADER));
  const destination = attributes.bytes(RTA.DST) ?? Buffer.alloc(family === "ipv4" ? 4 : 16);
  const src = attributes.bytes(RTA.PREFSRC);
  const multipath = attributes.bytes(RTA.MULTIPATH);
  return {
    family,
    dst: prefixLength === 0 ? "default" : `${formatAddress(destination)}/${prefixLength}`,
    gateway: decodeGateway(attributes),
    index: attributes.u32(RTA.OIF),
    src: src === undefined ? undefined : formatAddress(src),
    scope: scopeName(body.readUInt8(6)),
    type: routeTypes[body.readUInt8(7)] ?? "unspecified",
    table: attributes.u32(RTA.TABLE) ?? body.readUInt8(4),
    metric: attributes.u32(RTA.PRIORITY) ?? 0,
    protocol: body.readUInt8(5),
    onlink: (body.readUInt32LE(8) & RTNH_F_ONLINK) !== 0,
    mtu: attributes.nested(RTA.METRICS)?.u32(RTAX.MTU),
    advertisedMss: attributes.nested(RTA.METRICS)?.u32(RTAX.ADVMSS),
    nextHops: multipath === undefined ? [] : decodeHops(multipath),
  };
}
