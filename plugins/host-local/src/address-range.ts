import {
  type Cidr,
  containsIp,
  Fields,
  formatCidr,
  formatIp,
  type Ip,
  type JsonObject,
  lastOf,
  networkOf,
  parseCidr,
  parseIp,
  plus,
  sameIp,
} from "@tripod/cni/sdk";
import { TripodError } from "@tripod/base";

/** A run of addresses of one subnet, both ends included; the gateway is never given out. */
export interface AddressRange {
  readonly subnet: Cidr;
  readonly start: Ip;
  readonly end: Ip;
  readonly gateway: Ip;
}

/** Ranges of one family, from which together one address is taken. */
export type RangeSet = readonly AddressRange[];

const wrong = (object: JsonObject, why: string): TripodError =>
  new TripodError("invalid", `host-local: range ${JSON.stringify(object).slice(0, 200)}: ${why}`);

/** Reads `{subnet, rangeStart?, rangeEnd?, gateway?}`; network and broadcast address are left out of an IPv4 range. */
export function parseRange(object: JsonObject): AddressRange {
  const fields = new Fields(object, "host-local: range");
  const subnet = parseCidr(fields.string("subnet", ""));
  const bits = subnet.ip.family === 4 ? 32 : 128;
  if (subnet.prefix > bits - 2)
    throw wrong(object, `the subnet has no room for a gateway and a container; use /${bits - 2} or larger`);
  const network = networkOf(subnet);
  if (!sameIp(network, subnet.ip))
    throw wrong(object, `the subnet has host bits set; write ${formatCidr({ ip: network, prefix: subnet.prefix })}`);
  const inSubnet = (key: string, fallback: Ip): Ip => {
    const text = fields.string(key, "");
    const ip = text === "" ? fallback : parseIp(text);
    if (!containsIp(subnet, ip)) throw wrong(object, `${key} ${formatIp(ip)} is not in ${formatCidr(subnet)}`);
    return ip;
  };
  const first = plus(network, 1n);
  const last = subnet.ip.family === 4 ? plus(lastOf(subnet), -1n) : lastOf(subnet);
  const start = inSubnet("rangeStart", first);
  const end = inSubnet("rangeEnd", last);
  if (end.value < start.value)
    throw wrong(object, `rangeEnd ${formatIp(end)} comes before rangeStart ${formatIp(start)}`);
  return { subnet, start, end, gateway: inSubnet("gateway", first) };
}

/** Reads a list of ranges, which must be of one family and must not overlap. */
export function parseRangeSet(objects: readonly JsonObject[]): RangeSet {
  const ranges = objects.map(parseRange);
  for (const [index, range] of ranges.entries()) {
    for (const other of ranges.slice(index + 1)) {
      if (range.subnet.ip.family !== other.subnet.ip.family)
        throw new TripodError(
          "invalid",
          `host-local: ${describeRange(range)} and ${describeRange(other)} of one set are of two families`,
        );
      if (range.start.value <= other.end.value && other.start.value <= range.end.value)
        throw new TripodError("invalid", `host-local: ${describeRange(range)} and ${describeRange(other)} overlap`);
    }
  }
  if (ranges.length === 0) throw new TripodError("invalid", "host-local: a set of ranges is empty");
  return ranges;
}

export const inRange = ({ start, end }: AddressRange, ip: Ip): boolean =>
  ip.family === start.family && ip.value >= start.value && ip.value <= end.value;

export const describeRange = ({ start, end, subnet }: AddressRange): string =>
  `${formatIp(start)}-${formatIp(end)} of ${formatCidr(subnet)}`;

/** How many addresses the range can give out. */
export const sizeOf = (range: AddressRange): bigint =>
  range.end.value - range.start.value + 1n - (inRange(range, range.gateway) ? 1n : 0n);

/** The addresses of a set in the order in which they are tried: those after `last` first, round to `last` itself. */
export function* candidates(
  set: RangeSet,
  last: Ip | undefined,
): Generator<{ readonly ip: Ip; readonly range: AddressRange }> {
  const found = last === undefined ? -1 : set.findIndex((range) => inRange(range, last));
  const first = Math.max(found, 0);
  const order = [...set.slice(first), ...set.slice(0, first)];
  const from = found < 0 || last === undefined ? undefined : last.value + 1n;
  for (const [index, range] of order.entries()) {
    const begin = index === 0 && from !== undefined ? from : range.start.value;
    for (let value = begin; value <= range.end.value; value += 1n) {
      if (value !== range.gateway.value) yield { ip: { family: range.start.family, value }, range };
    }
  }
  const [range] = order;
  if (from === undefined || range === undefined) return;
  for (let { value } = range.start; value < from; value += 1n) {
    if (value !== range.gateway.value) yield { ip: { family: range.start.family, value }, range };
  }
}
