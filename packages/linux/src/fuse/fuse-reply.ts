import type { FuseAttributes } from "./fuse-file-system.ts";
import { ATTRIBUTE_BYTES, ENTRY_BYTES, FUSE_VERSION, INIT_FLAG, OUT_HEADER_BYTES } from "./fuse-numbers.ts";

/** How long the kernel may keep what it was told, in seconds: for ever, as far as any clock goes. */
const FOREVER_S = 1n << 40n;
const blockBytes = 4096;
/** Of a request to write, of which there are none; the least that the kernel allows. */
const maxWriteBytes = 4096;
/** Pages that one read asks for at most: 1 MiB. */
const maxPages = 256;

/** The head of an answer whose body has `length` bytes; `errno` is positive. */
export function replyHeader(unique: bigint, { length = 0, errno = 0 }: { length?: number; errno?: number }): Buffer {
  const header = Buffer.alloc(OUT_HEADER_BYTES);
  header.writeUInt32LE(OUT_HEADER_BYTES + length, 0);
  header.writeInt32LE(-errno, 4);
  header.writeBigUInt64LE(unique, 8);
  return header;
}

/** What of the kernel's offers is of use for a file system that never changes. */
const wantedFlags =
  INIT_FLAG.ASYNC_READ |
  INIT_FLAG.DO_READDIRPLUS |
  INIT_FLAG.READDIRPLUS_AUTO |
  INIT_FLAG.NO_OPEN_SUPPORT |
  INIT_FLAG.PARALLEL_DIROPS |
  INIT_FLAG.MAX_PAGES |
  INIT_FLAG.CACHE_SYMLINKS |
  INIT_FLAG.NO_OPENDIR_SUPPORT |
  INIT_FLAG.INIT_EXT |
  INIT_FLAG.ALLOW_IDMAP;

export interface InitOffer {
  readonly readahead: number;
  readonly flags: bigint;
}

export function initReply({ readahead, flags }: InitOffer, wanted = { flags: wantedFlags, maxWriteBytes }): Buffer {
  const body = Buffer.alloc(64);
  const agreed = flags & wanted.flags;
  body.writeUInt32LE(FUSE_VERSION.major, 0);
  body.writeUInt32LE(FUSE_VERSION.minor, 4);
  body.writeUInt32LE(readahead, 8);
  body.writeUInt32LE(Number(BigInt.asUintN(32, agreed)), 12);
  body.writeUInt16LE(64, 16); // requests that may wait in the background
  body.writeUInt16LE(48, 18);
  body.writeUInt32LE(wanted.maxWriteBytes, 20);
  body.writeUInt32LE(1, 24); // times in steps of 1 ns
  body.writeUInt16LE(maxPages, 28);
  body.writeUInt32LE(Number(agreed >> 32n), 32);
  return body;
}

function writeAttributes(body: Buffer, at: number, attributes: FuseAttributes): void {
  const { ino, mode, nlink, uid, gid, rdev, sizeBytes, mtimeNs } = attributes;
  const seconds = BigInt.asUintN(64, mtimeNs / 1_000_000_000n - (mtimeNs % 1_000_000_000n < 0n ? 1n : 0n));
  const nanoseconds = Number(((mtimeNs % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n);
  body.writeBigUInt64LE(BigInt(ino), at);
  body.writeBigUInt64LE(BigInt(sizeBytes), at + 8);
  body.writeBigUInt64LE(BigInt(Math.ceil(sizeBytes / blockBytes) * (blockBytes / 512)), at + 16);
  for (const offset of [24, 32, 40]) body.writeBigUInt64LE(seconds, at + offset); // access, modification, change
  for (const offset of [48, 52, 56]) body.writeUInt32LE(nanoseconds, at + offset);
  body.writeUInt32LE(mode, at + 60);
  body.writeUInt32LE(nlink, at + 64);
  body.writeUInt32LE(uid, at + 68);
  body.writeUInt32LE(gid, at + 72);
  body.writeUInt32LE(rdev, at + 76);
  body.writeUInt32LE(blockBytes, at + 80);
}

export function attributesReply(attributes: FuseAttributes): Buffer {
  const body = Buffer.alloc(16 + ATTRIBUTE_BYTES);
  body.writeBigUInt64LE(FOREVER_S, 0);
  writeAttributes(body, 16, attributes);
  return body;
}

/** Of a name; one that is not there is remembered as such. */
export function entryReply(attributes: FuseAttributes | undefined): Buffer {
  const body = Buffer.alloc(ENTRY_BYTES);
  body.writeBigUInt64LE(BigInt(attributes?.ino ?? 0), 0);
  body.writeBigUInt64LE(FOREVER_S, 16);
  body.writeBigUInt64LE(FOREVER_S, 24);
  if (attributes !== undefined) writeAttributes(body, 40, attributes);
  return body;
}

export function totalsReply({ bytes, files }: { readonly bytes: number; readonly files: number }): Buffer {
  const body = Buffer.alloc(80);
  body.writeBigUInt64LE(BigInt(Math.ceil(bytes / blockBytes)), 0);
  body.writeBigUInt64LE(BigInt(files), 24);
  body.writeUInt32LE(blockBytes, 40);
  body.writeUInt32LE(255, 44); // the longest name
  body.writeUInt32LE(blockBytes, 48);
  return body;
}

/** For an attribute's value or the list of names: how long it is when 0 bytes were asked for; undefined when it does not fit. */
export function sizedReply(value: Uint8Array, length: number): Uint8Array | undefined {
  if (length > 0) return value.byteLength <= length ? value : undefined;
  const body = Buffer.alloc(8);
  body.writeUInt32LE(value.byteLength, 0);
  return body;
}

/** A name in a folder's list. */
export interface ListedName {
  readonly name: Uint8Array;
  readonly attributes: FuseAttributes;
  /** "." and "..", for which the kernel wants no more than the type. */
  readonly special: boolean;
}

/** As many names as fit into `length` bytes, each with its attributes when `plus`. */
export function listReply(
  names: Iterable<ListedName>,
  { first, length, plus }: { readonly first: number; readonly length: number; readonly plus: boolean },
): Buffer {
  const body = Buffer.alloc(length);
  let at = 0;
  let next = first;
  for (const { name, attributes, special } of names) {
    const start = at + (plus ? ENTRY_BYTES : 0);
    const end = start + Math.ceil((24 + name.byteLength) / 8) * 8;
    if (end > length) break;
    next += 1;
    if (plus && !special) entryReply(attributes).copy(body, at);
    body.writeBigUInt64LE(BigInt(attributes.ino), start);
    body.writeBigUInt64LE(BigInt(next), start + 8); // where to go on after this name
    body.writeUInt32LE(name.byteLength, start + 16);
    body.writeUInt32LE((attributes.mode >> 12) & 0xf, start + 20);
    body.set(name, start + 24);
    at = end;
  }
  return body.subarray(0, at);
}
