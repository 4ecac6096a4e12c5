/** A UDP datagram over IPv4 in an Ethernet frame. */
export interface UdpFrame {
  readonly fromMac: Uint8Array;
  readonly toMac: Uint8Array;
  /** Addresses of 4 bytes. */
  readonly from: Uint8Array;
  readonly to: Uint8Array;
  readonly fromPort: number;
  readonly toPort: number;
  readonly payload: Uint8Array;
}

export const etherTypeIpv4 = 0x0800;
const UDP = 17;
const ethernetBytes = 14;
const ipBytes = 20;
const udpBytes = 8;
const ttl = 64;

/** The Internet checksum (RFC 1071). */
function checksum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) {
    for (let at = 0; at < part.length; at += 2) sum += ((part[at] ?? 0) << 8) | (part[at + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

export function encodeUdpFrame(frame: UdpFrame): Buffer {
  const bytes = Buffer.alloc(ethernetBytes + ipBytes + udpBytes + frame.payload.length);
  bytes.set(frame.toMac, 0);
  bytes.set(frame.fromMac, 6);
  bytes.writeUInt16BE(etherTypeIpv4, 12);
  const ip = bytes.subarray(ethernetBytes, ethernetBytes + ipBytes);
  ip.writeUInt8(0x45, 0);
  ip.writeUInt16BE(ipBytes + udpBytes + frame.payload.length, 2);
  ip.writeUInt8(ttl, 8);
  ip.writeUInt8(UDP, 9);
  ip.set(frame.from, 12);
  ip.set(frame.to, 16);
  ip.writeUInt16BE(checksum(ip), 10);
  const udp = bytes.subarray(ethernetBytes + ipBytes);
  udp.writeUInt16BE(frame.fromPort, 0);
  udp.writeUInt16BE(frame.toPort, 2);
  udp.writeUInt16BE(udp.length, 4);
  udp.set(frame.payload, udpBytes);
  const pseudo = Buffer.alloc(12);
  pseudo.set(frame.from, 0);
  pseudo.set(frame.to, 4);
  pseudo.writeUInt8(UDP, 9);
  pseudo.writeUInt16BE(udp.length, 10);
  udp.writeUInt16BE(checksum(pseudo, udp) || 0xffff, 6);
  return bytes;
}

/**
 * Undefined for what is no whole UDP datagram. Its checksum is not looked at: a frame of the same host may come without, for the card to put in
 * that is not there.
 */
export function decodeUdpFrame(bytes: Buffer): UdpFrame | undefined {
  if (bytes.length < ethernetBytes + ipBytes || bytes.readUInt16BE(12) !== etherTypeIpv4) return undefined;
  const ip = bytes.subarray(ethernetBytes);
  const headerBytes = (ip.readUInt8(0) & 0xf) * 4;
  const total = ip.readUInt16BE(2);
  if (ip.readUInt8(0) >>> 4 !== 4 || headerBytes < ipBytes || total > ip.length) return undefined;
  // A fragment has no whole datagram.
  if (ip.readUInt8(9) !== UDP || (ip.readUInt16BE(6) & 0x3fff) !== 0 || total < headerBytes + udpBytes)
    return undefined;
  const udp = ip.subarray(headerBytes, total);
  const length = udp.readUInt16BE(4);
  if (length < udpBytes || length > udp.length) return undefined;
  return {
    toMac: bytes.subarray(0, 6),
    fromMac: bytes.subarray(6, 12),
    from: ip.subarray(12, 16),
    to: ip.subarray(16, 20),
    fromPort: udp.readUInt16BE(0),
    toPort: udp.readUInt16BE(2),
    payload: udp.subarray(udpBytes, length),
  };
}
