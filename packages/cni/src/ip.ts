import { TripodError } from "@tripod/base";

export type IpFamily = 4 | 6;

/** An address as a number; IPv4-mapped IPv6 addresses count as IPv4. */
export interface Ip {
  readonly family: IpFamily;
  readonly value: bigint;
}

/** An address with a prefix length; host bits may be set. */
export interface Cidr {
  readonly ip: Ip;
  readonly prefix: number;
}

const bitsOf = (family: IpFamily): number => (family === 4 ? 32 : 128);

function parseIpv4(text: string): bigint | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  let value = 0n;
  for (const part of match.slice(1)) {
    if (Number(part) > 255 || (part.length > 1 && part.startsWith("0"))) return undefined;
    value = (value << 8n) | BigInt(part);
  }
  return value;
}

function parseIpv6(text: string): bigint | undefined {
  let rest = text;
  let tail: bigint | undefined;
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (dotted !== null) {
    tail = parseIpv4(dotted[2] ?? "");
    if (tail === undefined) return undefined;
    rest = `${dotted[1] ?? ""}${(tail >> 16n).toString(16)}:${(tail & 0xffffn).toString(16)}`;
  }
  const halves = rest.split("::");
  if (halves.length > 2) return undefined;
  const groups = (half: string): string[] => (half === "" ? [] : half.split(":"));
  const head = groups(halves[0] ?? "");
  const end = groups(halves[1] ?? "");
  const missing = 8 - head.length - end.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const all = [...head, ...Array.from({ length: missing }, () => "0"), ...end];
  if (!all.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return undefined;
  return all.reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n);
}

/** Undefined for what is no address. */
export function tryParseIp(text: string): Ip | undefined {
  const four = parseIpv4(text);
  if (four !== undefined) return { family: 4, value: four };
  const six = text.length <= 45 ? parseIpv6(text) : undefined;
  if (six === undefined) return undefined;
  return six >> 32n === 0xffffn ? { family: 4, value: six & 0xffffffffn } : { family: 6, value: six };
}

/** Throws "invalid". */
export function parseIp(text: string): Ip {
  const ip = tryParseIp(text);
  if (ip === undefined) throw new TripodError("invalid", `${JSON.stringify(text.slice(0, 60))} is not an IP address`);
  return ip;
}

/** The canonical text (RFC 5952), which is also what names host-local's files. */
export function formatIp({ family, value }: Ip): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join(".");
  const groups = Array.from({ length: 8 }, (_, index) => Number((value >> BigInt(112 - index * 16)) & 0xffffn));
  let best = { start: -1, length: 1 }; // one lone zero group is not shortened
  for (let start = 0; start < 8; start += 1) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === 0) length += 1;
    if (length > best.length) best = { start, length };
  }
  const hex = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(":");
  return best.start < 0 ? hex(0, 8) : `${hex(0, best.start)}::${hex(best.start + best.length, 8)}`;
}

/** Throws "invalid". */
export function parseCidr(text: string): Cidr {
  const [address = "", prefix = "", ...more] = text.split("/");
  const ip = tryParseIp(address);
  const length = /^\d{1,3}$/.test(prefix) ? Number(prefix) : -1;
  if (ip === undefined || more.length > 0 || length < 0 || length > bitsOf(ip.family))
    throw new TripodError(
      "invalid",
      `${JSON.stringify(text.slice(0, 60))} is not an address with a prefix such as 10.1.0.0/16`,
    );
  return { ip, prefix: length };
}

export const formatCidr = ({ ip, prefix }: Cidr): string => `${formatIp(ip)}/${prefix}`;

/** The first address of the subnet that `cidr` is in. */
export function networkOf({ ip, prefix }: Cidr): Ip {
  const host = BigInt(bitsOf(ip.family) - prefix);
  return { family: ip.family, value: (ip.value >> host) << host };
}

/** The last address of the subnet (the broadcast address in IPv4). */
export function lastOf(cidr: Cidr): Ip {
  const host = BigInt(bitsOf(cidr.ip.family) - cidr.prefix);
  return { family: cidr.ip.family, value: networkOf(cidr).value | ((1n << host) - 1n) };
}

export const containsIp = (cidr: Cidr, ip: Ip): boolean =>
  cidr.ip.family === ip.family && ip.value >= networkOf(cidr).value && ip.value <= lastOf(cidr).value;

export const plus = (ip: Ip, count: bigint): Ip => ({ family: ip.family, value: ip.value + count });

export const sameIp = (a: Ip, b: Ip): boolean => a.family === b.family && a.value === b.value;
