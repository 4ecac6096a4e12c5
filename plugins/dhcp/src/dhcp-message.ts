import { TripodError } from "@tripod/base";

/** Values of option 53 (RFC 2132, 9.6). */
export const messageTypes = {
  discover: 1,
  offer: 2,
  request: 3,
  ack: 5,
  nak: 6,
  release: 7,
} as const;

/** Codes of the options that are spoken of here (RFC 2132; 121: RFC 3442). */
export const options = {
  pad: 0,
  subnetMask: 1,
  routers: 3,
  nameServers: 6,
  hostName: 12,
  domainName: 15,
  staticRoutes: 33,
  requestedAddress: 50,
  leaseTime: 51,
  overload: 52,
  messageType: 53,
  serverIdentifier: 54,
  parameterRequestList: 55,
  message: 56,
  maximumMessageSize: 57,
  renewalTime: 58,
  rebindingTime: 59,
  vendorClass: 60,
  clientIdentifier: 61,
  userClass: 77,
  classlessRoutes: 121,
  end: 255,
} as const;

/** A DHCP message of a client or a server (RFC 2131, figure 1). Addresses are 4 bytes, a MAC is 6. */
export interface DhcpMessage {
  /** 1 from a client, 2 from a server. */
  readonly op: 1 | 2;
  readonly xid: number;
  /** Since the client began, in seconds. */
  readonly secs: number;
  /** Whether the server is to answer to everyone. */
  readonly broadcast: boolean;
  /** The client's address, where it has one. */
  readonly ciaddr: Uint8Array;
  /** The address that a server gives. */
  readonly yiaddr: Uint8Array;
  readonly mac: Uint8Array;
  /** By code; an option that came in parts is one value here (RFC 3396). */
  readonly options: ReadonlyMap<number, Uint8Array>;
}

const ETHERNET = 1;
const BROADCAST = 0x8000;
const cookie = 0x63825363;
/** Of the fixed part with the cookie. */
const headerBytes = 240;
/** What BOOTP relays take no less of (RFC 1542, 2.1). */
const leastBytes = 300;
/** More than any server sends to a client that takes 1500 at a time. */
const mostBytes = 4096;
const snameAt = 44;
const fileAt = 108;
const cookieAt = 236;

export function encodeDhcp(message: DhcpMessage): Buffer {
  const header = Buffer.alloc(headerBytes);
  header.writeUInt8(message.op, 0);
  header.writeUInt8(ETHERNET, 1);
  header.writeUInt8(message.mac.length, 2);
  header.writeUInt32BE(message.xid, 4);
  header.writeUInt16BE(Math.min(message.secs, 0xffff), 8);
  header.writeUInt16BE(message.broadcast ? BROADCAST : 0, 10);
  header.set(message.ciaddr, 12);
  header.set(message.yiaddr, 16);
  header.set(message.mac, 28);
  header.writeUInt32BE(cookie, cookieAt);
  const parts: Buffer[] = [header];
  // The type first: it is what servers and relays look for.
  const ordered = [...message.options].toSorted(
    ([a], [b]) => Number(b === options.messageType) - Number(a === options.messageType) || a - b,
  );
  for (const [code, value] of ordered) {
    for (let at = 0; at === 0 || at < value.length; at += 255) {
      const part = value.subarray(at, at + 255);
      parts.push(Buffer.from([code, part.length]), Buffer.from(part));
    }
  }
  parts.push(Buffer.from([options.end]));
  const length = parts.reduce((sum, { length: bytes }) => sum + bytes, 0);
  return Buffer.concat(parts, Math.max(length, leastBytes));
}

const wrong = (why: string): TripodError => new TripodError("invalid", `DHCP message: ${why}`);

/** Reads the options in `area`; parts of one option are put together in the order in which they came. */
function readOptions(area: Uint8Array, into: Map<number, Uint8Array>): void {
  for (let at = 0; at < area.length; ) {
    const code = area[at] ?? options.end;
    if (code === options.end) return;
    at += 1;
    if (code === options.pad) continue;
    const length = area[at];
    if (length === undefined || at + 1 + length > area.length) throw wrong(`option ${code} is cut off`);
    const value = area.subarray(at + 1, at + 1 + length);
    const before = into.get(code);
    into.set(code, before === undefined ? value : Buffer.concat([before, value]));
    at += 1 + length;
  }
}

/** Throws "invalid" for what is no DHCP message of an Ethernet; what is after the options is of no meaning. */
export function decodeDhcp(bytes: Buffer): DhcpMessage {
  if (bytes.length < headerBytes) throw wrong(`${bytes.length} bytes are too few`);
  if (bytes.length > mostBytes) throw wrong(`${bytes.length} bytes are too many`);
  const op = bytes.readUInt8(0);
  if (op !== 1 && op !== 2) throw wrong(`op ${op}`);
  if (bytes.readUInt32BE(cookieAt) !== cookie) throw wrong("it is one of BOOTP");
  const macBytes = bytes.readUInt8(2);
  if (bytes.readUInt8(1) !== ETHERNET || macBytes !== 6) throw wrong("its hardware is no Ethernet");
  const read = new Map<number, Uint8Array>();
  readOptions(bytes.subarray(headerBytes), read);
  // Options may go on in the fields of the boot file (1) and the server's name (2), or both (3), in this order.
  const overload = read.get(options.overload)?.[0] ?? 0;
  if ((overload & 1) !== 0) readOptions(bytes.subarray(fileAt, cookieAt), read);
  if ((overload & 2) !== 0) readOptions(bytes.subarray(snameAt, fileAt), read);
  return {
    op,
    xid: bytes.readUInt32BE(4),
    secs: bytes.readUInt16BE(8),
    broadcast: (bytes.readUInt16BE(10) & BROADCAST) !== 0,
    ciaddr: bytes.subarray(12, 16),
    yiaddr: bytes.subarray(16, 20),
    mac: bytes.subarray(28, 28 + macBytes),
    options: read,
  };
}
