import { AttributeMap, be16, bytes, encodeAttributes, nested, u32, u8 } from "./attribute.ts";
import { AF, type Family, familyNumber } from "./ip-address.ts";
import { NLM_F } from "./message.ts";
import { NetlinkSocket } from "./socket.ts";
import { isErrno } from "../system-call-error.ts";

const NETLINK_NETFILTER = 12;
/** NFNL_SUBSYS_CTNETLINK in the upper byte of a message's type (nfnetlink_conntrack.h). */
const IPCTNL_MSG_CT = { GET: 0x101, DELETE: 0x102 } as const;
const CTA = { TUPLE_ORIG: 1, ZONE: 18, FILTER: 25 } as const;
const CTA_TUPLE_PROTO = 2;
const CTA_PROTO = { NUM: 1, DST_PORT: 3 } as const;
const CTA_FILTER_ORIG_FLAGS = 1;
/** Compare protocol number and destination port of the original direction (nf_internals.h). */
const FILTER_PROTO_NUM = 1 << 3;
const FILTER_PROTO_DST_PORT = 1 << 5;

const protocols = { tcp: 6, udp: 17, sctp: 132 } as const;

export interface ConntrackFilter {
  readonly family: Family;
  readonly protocol: keyof typeof protocols;
  /** Of the original direction: where the first packet was sent. */
  readonly destinationPort: number;
  /** Path of the network namespace; the caller's unless told. */
  readonly netns?: string | undefined;
}

const header = (family: number): Buffer => Buffer.from([family, 0, 0, 0]); // struct nfgenmsg

/** Makes the kernel forget the flows that match (conntrack(8) -D); returns how many there were. 0 without connection tracking. */
export function conntrackDelete(filter: ConntrackFilter): number {
  using socket = new NetlinkSocket(NETLINK_NETFILTER, { netns: filter.netns });
  const family = familyNumber(filter.family);
  const object = `${filter.protocol} port ${filter.destinationPort}`;
  const proto = [u8(CTA_PROTO.NUM, protocols[filter.protocol]), be16(CTA_PROTO.DST_PORT, filter.destinationPort)];
  const wanted = [
    nested(CTA.TUPLE_ORIG, [nested(CTA_TUPLE_PROTO, proto)]),
    nested(CTA.FILTER, [u32(CTA_FILTER_ORIG_FLAGS, FILTER_PROTO_NUM | FILTER_PROTO_DST_PORT)]),
  ];
  let deleted = 0;
  for (const { body } of dump(socket, Buffer.concat([header(family), encodeAttributes(wanted)]), object)) {
    const flow = new AttributeMap(body.subarray(4));
    const tuple = flow.bytes(CTA.TUPLE_ORIG);
    const found = flow.nested(CTA.TUPLE_ORIG)?.nested(CTA_TUPLE_PROTO);
    // A kernel before 5.8 does not filter.
    const matches =
      found?.u8(CTA_PROTO.NUM) === protocols[filter.protocol] &&
      found.be16(CTA_PROTO.DST_PORT) === filter.destinationPort;
    if (tuple === undefined || !matches) continue;
    const zone = flow.bytes(CTA.ZONE);
    const attributes = [
      { type: CTA.TUPLE_ORIG | 0x8000, value: tuple },
      ...(zone === undefined ? [] : [bytes(CTA.ZONE, zone)]),
    ];
    try {
      const message = Buffer.concat([header(body.readUInt8(0) || AF.INET), encodeAttributes(attributes)]);
      socket.request({ name: "IPCTNL_MSG_CT_DELETE", object, type: IPCTNL_MSG_CT.DELETE, body: message });
      deleted += 1;
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error; // ended by itself meanwhile
    }
  }
  return deleted;
}

function dump(socket: NetlinkSocket, body: Buffer, object: string): ReturnType<NetlinkSocket["request"]> {
  try {
    return socket.request({ name: "IPCTNL_MSG_CT_GET", object, type: IPCTNL_MSG_CT.GET, flags: NLM_F.DUMP, body });
  } catch (error) {
    // Connection tracking is not loaded: nothing is tracked.
    if (isErrno(error, "EINVAL", "EOPNOTSUPP", "ENOENT")) return [];
    throw error;
  }
}
