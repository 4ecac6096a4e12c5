import { TripodError } from "@tripod/base";
import { AttributeMap } from "./attribute.ts";

/** Header flags (include/uapi/linux/netlink.h). */
export const NLM_F = {
  REQUEST: 0x1,
  MULTI: 0x2,
  ACK: 0x4,
  DUMP_INTR: 0x10,
  /** Of a request that reads: everything. */
  DUMP: 0x300,
  /** Of a request that makes something. */
  REPLACE: 0x100,
  EXCL: 0x200,
  CREATE: 0x400,
  APPEND: 0x800,
  /** Of an error reply: only the request's header is repeated; attributes follow. */
  CAPPED: 0x100,
  ACK_TLVS: 0x200,
} as const;

export const NLMSG = { NOOP: 1, ERROR: 2, DONE: 3, OVERRUN: 4 } as const;

const HEADER = 16;

export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly body: Buffer;
}

export function encodeMessage(message: NetlinkMessage): Buffer {
  const buffer = Buffer.alloc(HEADER + message.body.length);
  buffer.writeUInt32LE(buffer.length, 0);
  buffer.writeUInt16LE(message.type, 4);
  buffer.writeUInt16LE(message.flags, 6);
  buffer.writeUInt32LE(message.sequence, 8);
  message.body.copy(buffer, HEADER);
  return buffer;
}

/** The messages in one datagram; one that does not fit is a "corrupt" error. */
export function decodeMessages(datagram: Buffer): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  for (let offset = 0; offset < datagram.length; ) {
    const length = datagram.length - offset < HEADER ? 0 : datagram.readUInt32LE(offset);
    if (length < HEADER || offset + length > datagram.length) {
      throw new TripodError(
        "corrupt",
        `netlink message at ${offset}: length ${length} does not fit into ${datagram.length} bytes`,
      );
    }
    messages.push({
      type: datagram.readUInt16LE(offset + 4),
      flags: datagram.readUInt16LE(offset + 6),
      sequence: datagram.readUInt32LE(offset + 8),
      body: datagram.subarray(offset + HEADER, offset + length),
    });
    offset += (length + 3) & ~3;
  }
  return messages;
}

/** What an NLMSG_ERROR (or a DONE with a code) says. */
export interface NetlinkStatus {
  /** 0 for an acknowledgement, else errno as a positive number. */
  readonly errno: number;
  /** The kernel's explanation, where it gave one. */
  readonly text: string | undefined;
}

const NLMSGERR_ATTR_MSG = 1;

/** Reads the status out of an NLMSG_ERROR or NLMSG_DONE. */
export function decodeStatus(message: NetlinkMessage): NetlinkStatus {
  const { type, flags, body } = message;
  // A DONE without a code is a plain end.
  if (body.length < 4) return { errno: 0, text: undefined };
  const errno = -body.readInt32LE(0);
  if ((flags & NLM_F.ACK_TLVS) === 0) return { errno, text: undefined };
  let offset = 4;
  if (type === NLMSG.ERROR && body.length >= 4 + HEADER) {
    const echoed = (flags & NLM_F.CAPPED) !== 0 ? HEADER : body.readUInt32LE(4);
    offset += (echoed + 3) & ~3;
  }
  if (offset >= body.length) return { errno, text: undefined };
  return { errno, text: new AttributeMap(body.subarray(offset)).text(NLMSGERR_ATTR_MSG) };
}
