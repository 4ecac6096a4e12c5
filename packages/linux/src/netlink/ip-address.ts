import { TripodError } from "@tripod/base";

export type Family = "ipv4" | "ipv6";

export const AF = { UNSPEC: 0, INET: 2, BRIDGE: 7, INET6: 10 } as const;

export const familyNumber = (family: Family | undefined): number =>
  family === undefined ? AF.UNSPEC : family === "ipv4" ? AF.INET : AF.INET6;

export const familyOf = (number: number): Family | undefined =>
  number === AF.INET ? "ipv4" : number === AF.INET6 ? "ipv6" : undefined;

/** An IP address: its family and 4 or 16 bytes. */
export interface ParsedAddress {
  readonly family: Family;
  readonly bytes: Buffer;
}

/** Parses "10.1.2.3" or "fe80::1" (no zone); anything else is "invalid". */
export function parseAddress(address: string): ParsedAddress {
  const four = parseIpv4(address);
  if (four !== undefined) return { family: "ipv4", bytes: Buffer.from(four) };
  const six = parseIpv6(address);
  if (six !== undefined) return { family: "ipv6", bytes: six };
  throw new TripodError("invalid", `${JSON.stringify(address)} is not an IP address`);
}

// node:net could tell, but loads all streams with it: 2 to 3 ms of a plugin's executable.

function parseIpv4(address: string): number[] | undefined {
  const parts = address.split(".");
  const bytes = parts.map((part) => (/^(0|[1-9]\d{0,2})$/.test(part) ? Number(part) : 256));
  return bytes.length === 4 && bytes.every((byte) => byte < 256) ? bytes : undefined;
}

function parseIpv6(address: string): Buffer | undefined {
  const groupsOf = (part: string, last: boolean): number[] => {
    if (part === "") return [];
    const groups = part.split(":");
    return groups.flatMap((group, index) => {
      if (/^[0-9a-f]{1,4}$/i.test(group)) return [Number.parseInt(group, 16)];
      const [a = 0, b = 0, c = 0, d = 0] = (last && index === groups.length - 1 ? parseIpv4(group) : undefined) ?? [-1];
      return a < 0 ? [-1] : [(a << 8) | b, (c << 8) | d];
    });
  };
  const [head = "", tail, ...more] = address.split("::");
  const left = groupsOf(head, tail === undefined);
  const right = tail === undefined ? [] : groupsOf(tail, true);
  const length = left.length + right.length;
  const fits = tail === undefined ? length === 8 : length < 8;
  if (!fits || more.length > 0 || left.includes(-1) || right.includes(-1)) return undefined;
  const bytes = Buffer.alloc(16);
  for (const [index, group] of left.entries()) bytes.writeUInt16BE(group, index * 2);
  for (const [index, group] of right.entries()) bytes.writeUInt16BE(group, 16 - (right.length - index) * 2);
  return bytes;
}

/** The address as text, IPv6 in the canonical form of RFC 5952; other lengths than 4 and 16 are "corrupt". */
export function formatAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.length !== 16) throw new TripodError("corrupt", `an IP address of ${bytes.length} bytes`);
  const buffer = Buffer.from(bytes);
  if (buffer.subarray(0, 10).every((byte) => byte === 0) && buffer.readUInt16BE(10) === 0xffff) {
    return `::ffff:${buffer.subarray(12).join(".")}`;
  }
  const groups = Array.from({ length: 8 }, (_, index) => buffer.readUInt16BE(index * 2));
  let start = -1;
  let length = 1; // a single zero group is not shortened
  for (let index = 0; index < 8; ) {
    let end = index;
    while (end < 8 && groups[end] === 0) end += 1;
    if (end - index > length) {
      start = index;
      length = end - index;
    }
    index = end + 1;
  }
  const hex = (list: number[]): string => list.map((group) => group.toString(16)).join(":");
  return start < 0 ? hex(groups) : `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`;
}

export interface ParsedPrefix extends ParsedAddress {
  readonly prefixLength: number;
}

/** Parses "10.1.2.3/24"; without a length it is the whole address (32 or 128). */
export function parsePrefix(prefix: string): ParsedPrefix {
  const slash = prefix.indexOf("/");
  const address = parseAddress(slash < 0 ? prefix : prefix.slice(0, slash));
  const most = address.bytes.length * 8;
  if (slash < 0) return { ...address, prefixLength: most };
  const digits = prefix.slice(slash + 1);
  const prefixLength = Number(digits);
  if (!/^\d{1,3}$/.test(digits) || prefixLength > most) {
    throw new TripodError("invalid", `${JSON.stringify(prefix)}: the prefix length must be 0 to ${most}`);
  }
  return { ...address, prefixLength };
}
