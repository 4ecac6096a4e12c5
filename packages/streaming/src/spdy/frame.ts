import { TripodError } from "@tripod/base";

/** Control frame types of SPDY/3.1 (section 2.6 of the SPDY protocol drafts 3 and 3.1). */
export const frameType = {
  synStream: 1,
  synReply: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  headers: 8,
  windowUpdate: 9,
} as const;

/** Reasons in a RST_STREAM frame. */
export const resetStatus = {
  protocolError: 1,
  invalidStream: 2,
  refusedStream: 3,
  cancel: 5,
  internalError: 6,
  flowControlError: 7,
  streamInUse: 8,
} as const;

/** Reasons in a GOAWAY frame. */
export const goAwayStatus = { ok: 0, protocolError: 1 } as const;

/** The setting that tells the peer how many bytes it may send on a new stream. */
export const settingInitialWindowSize = 7;

export const flagFin = 1;

/** Any header of a SPDY frame: 8 bytes. */
export const frameHeaderBytes = 8;
/** The longest control frame that is read; only header blocks come near it. */
const maxControlFrameBytes = 64 * 1024;
/** The longest data frame that is written; longer ones are split so that streams take turns. */
export const maxDataFrameBytes = 64 * 1024;
const maxLength = 0xffffff;
const version = 3;

/** A parsed frame header. The payload of `length` bytes follows it on the wire. */
export type FrameHeader =
  | { readonly kind: "data"; readonly streamId: number; readonly flags: number; readonly length: number }
  | { readonly kind: "control"; readonly type: number; readonly flags: number; readonly length: number };

/** Reads the 8 bytes at the start of `bytes`. A control frame of another version or of too great a length is "invalid". */
export function parseFrameHeader(bytes: Buffer): FrameHeader {
  const first = bytes.readUInt32BE(0);
  const flags = bytes.readUInt8(4);
  const length = bytes.readUIntBE(5, 3);
  if (first < 0x80000000) return { kind: "data", streamId: first, flags, length };
  const given = (first >>> 16) & 0x7fff;
  if (given !== version) throw new TripodError("invalid", `spdy: frame of version ${given}, not ${version}`);
  if (length > maxControlFrameBytes)
    throw new TripodError(
      "invalid",
      `spdy: control frame of ${length} bytes; at most ${maxControlFrameBytes} are read`,
    );
  return { kind: "control", type: first & 0xffff, flags, length };
}

/** The 8 header bytes of a data frame. */
export function dataFrameHeader(streamId: number, flags: number, length: number): Buffer {
  const header = Buffer.allocUnsafe(frameHeaderBytes);
  header.writeUInt32BE(streamId, 0);
  header.writeUInt8(flags, 4);
  header.writeUIntBE(length, 5, 3);
  return header;
}

/** A whole control frame of 32-bit words followed by `tail`. */
export function controlFrame(type: number, flags: number, words: readonly number[], tail?: Uint8Array): Buffer {
  const length = words.length * 4 + (tail?.byteLength ?? 0);
  if (length > maxLength) throw new TripodError("invalid", `spdy: control frame of ${length} bytes does not fit`);
  const frame = Buffer.alloc(frameHeaderBytes + length);
  frame.writeUInt16BE(0x8000 | version, 0);
  frame.writeUInt16BE(type, 2);
  frame.writeUInt8(flags, 4);
  frame.writeUIntBE(length, 5, 3);
  words.forEach((word, index) => frame.writeUInt32BE(word >>> 0, frameHeaderBytes + index * 4));
  if (tail !== undefined) frame.set(tail, frameHeaderBytes + words.length * 4);
  return frame;
}
