import { ATTRIBUTE_BYTES, ENTRY_BYTES, INIT_FLAG } from "./fuse-numbers.ts";
import { type InitOffer, initReply } from "./fuse-reply.ts";
import type { LiveAttributes, LiveEntry, LiveName, LiveTotals } from "./live-file-system.ts";

/** Bytes of one write, and of one read. */
export const LIVE_DATA_BYTES = 1 << 20;
const preferredBytes = LIVE_DATA_BYTES;

const wantedFlags =
  INIT_FLAG.ASYNC_READ |
  INIT_FLAG.BIG_WRITES |
  INIT_FLAG.AUTO_INVAL_DATA |
  INIT_FLAG.PARALLEL_DIROPS |
  INIT_FLAG.MAX_PAGES;

export const liveInitReply = (offer: InitOffer): Buffer =>
  initReply(offer, { flags: wantedFlags, maxWriteBytes: LIVE_DATA_BYTES });

function writeAttributes(body: Buffer, at: number, attributes: LiveAttributes): void {
  const { ino, mode, nlink, uid, gid, rdev, sizeBytes, blocks } = attributes;
  body.writeBigUInt64LE(BigInt(ino), at);
  body.writeBigUInt64LE(BigInt(sizeBytes), at + 8);
  body.writeBigUInt64LE(BigInt(blocks), at + 16);
  [attributes.atimeNs, attributes.mtimeNs, attributes.ctimeNs].forEach((time, index) => {
    const nanoseconds = ((time % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
    body.writeBigInt64LE((time - nanoseconds) / 1_000_000_000n, at + 24 + 8 * index);
    body.writeUInt32LE(Number(nanoseconds), at + 48 + 4 * index);
  });
  body.writeUInt32LE(mode, at + 60);
  body.writeUInt32LE(nlink, at + 64);
  body.writeUInt32LE(uid, at + 68);
  body.writeUInt32LE(gid, at + 72);
  body.writeUInt32LE(rdev, at + 76);
  body.writeUInt32LE(preferredBytes, at + 80);
}

/** Attributes that the kernel keeps for no time at all. */
export function liveAttributesReply(attributes: LiveAttributes): Buffer {
  const body = Buffer.alloc(16 + ATTRIBUTE_BYTES);
  writeAttributes(body, 16, attributes);
  return body;
}

export function liveEntryReply({ node, attributes }: LiveEntry): Buffer {
  const body = Buffer.alloc(ENTRY_BYTES);
  body.writeBigUInt64LE(BigInt(node), 0);
  writeAttributes(body, 40, attributes);
  return body;
}

export function openReply(handle: number): Buffer {
  const body = Buffer.alloc(16);
  body.writeBigUInt64LE(BigInt(handle), 0);
  return body;
}

export function writtenReply(count: number): Buffer {
  const body = Buffer.alloc(8);
  body.writeUInt32LE(count, 0);
  return body;
}

export function liveTotalsReply(totals: LiveTotals): Buffer {
  const body = Buffer.alloc(80);
  const numbers = [totals.blocks, totals.freeBlocks, totals.availableBlocks, totals.files, totals.freeFiles];
  numbers.forEach((number, index) => body.writeBigUInt64LE(number, 8 * index));
  body.writeUInt32LE(totals.blockBytes, 40);
  body.writeUInt32LE(255, 44); // the longest name
  body.writeUInt32LE(totals.blockBytes, 48);
  return body;
}

/** As many names as fit into `length` bytes. */
export function liveListReply(names: readonly LiveName[], length: number): Buffer {
  const body = Buffer.alloc(length);
  let at = 0;
  for (const { name, ino, mode, cookie } of names) {
    const end = at + Math.ceil((24 + name.byteLength) / 8) * 8;
    if (end > length) break;
    body.writeBigUInt64LE(BigInt(ino), at);
    body.writeBigUInt64LE(cookie, at + 8);
    body.writeUInt32LE(name.byteLength, at + 16);
    body.writeUInt32LE((mode >> 12) & 0xf, at + 20);
    body.set(name, at + 24);
    at = end;
  }
  return body.subarray(0, at);
}
