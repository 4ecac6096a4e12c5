import { constants } from "node:fs";
import { TripodError } from "@tripod/base";
import type { AttributeChanges, LiveAttributes, LiveTotals } from "@tripod/linux";
import { ATTRIBUTE, FILE_TYPE } from "./nfs-numbers.ts";
import { XdrReader, XdrWriter } from "./xdr.ts";

const typeBits: Readonly<Record<number, number>> = {
  [FILE_TYPE.REGULAR]: constants.S_IFREG,
  [FILE_TYPE.FOLDER]: constants.S_IFDIR,
  [FILE_TYPE.BLOCK]: constants.S_IFBLK,
  [FILE_TYPE.CHARACTER]: constants.S_IFCHR,
  [FILE_TYPE.LINK]: constants.S_IFLNK,
  [FILE_TYPE.SOCKET]: constants.S_IFSOCK,
  [FILE_TYPE.FIFO]: constants.S_IFIFO,
};

/** Of accounts that have no number here. */
const nobody = 65534;
const totalsBlockBytes = 4096n;

type AttributeNumber = (typeof ATTRIBUTE)[keyof typeof ATTRIBUTE];

const ofFile: readonly AttributeNumber[] = [
  ATTRIBUTE.TYPE,
  ATTRIBUTE.SIZE,
  ATTRIBUTE.FILEID,
  ATTRIBUTE.MODE,
  ATTRIBUTE.NUMLINKS,
  ATTRIBUTE.OWNER,
  ATTRIBUTE.OWNER_GROUP,
  ATTRIBUTE.RAWDEV,
  ATTRIBUTE.SPACE_USED,
  ATTRIBUTE.TIME_ACCESS,
  ATTRIBUTE.TIME_METADATA,
  ATTRIBUTE.TIME_MODIFY,
];
const ofName: readonly AttributeNumber[] = [ATTRIBUTE.TYPE, ATTRIBUTE.FILEID];
const ofServer: readonly AttributeNumber[] = [
  ATTRIBUTE.FILES_AVAIL,
  ATTRIBUTE.FILES_FREE,
  ATTRIBUTE.FILES_TOTAL,
  ATTRIBUTE.SPACE_AVAIL,
  ATTRIBUTE.SPACE_FREE,
  ATTRIBUTE.SPACE_TOTAL,
];

function writeBitmap(to: XdrWriter, numbers: readonly number[]): void {
  to.u32(2);
  for (const word of [0, 1])
    to.u32(numbers.reduce((bits, number) => (number >> 5 === word ? bits | (1 << (number & 31)) : bits), 0) >>> 0);
}

export const askForFile = (to: XdrWriter): void => writeBitmap(to, ofFile);
export const askForName = (to: XdrWriter): void => writeBitmap(to, ofName);
export const askForTotals = (to: XdrWriter): void => writeBitmap(to, ofServer);

/** Attributes by number, as many as the server has. */
function readValues(from: XdrReader): Map<number, bigint | string> {
  const words = from.words();
  const values = new XdrReader(from.opaque());
  const found = new Map<number, bigint | string>();
  for (let number = 0; number < words.length * 32; number += 1)
    if (((words[number >> 5] ?? 0) & (1 << (number & 31))) !== 0) found.set(number, readValue(values, number));
  return found;
}

function readValue(from: XdrReader, number: number): bigint | string {
  switch (number) {
    case ATTRIBUTE.TYPE:
    case ATTRIBUTE.MODE:
    case ATTRIBUTE.NUMLINKS:
      return BigInt(from.u32());
    case ATTRIBUTE.OWNER:
    case ATTRIBUTE.OWNER_GROUP:
      return from.opaque().toString();
    case ATTRIBUTE.TIME_ACCESS:
    case ATTRIBUTE.TIME_METADATA:
    case ATTRIBUTE.TIME_MODIFY:
      return from.i64() * 1_000_000_000n + BigInt(from.u32());
    case ATTRIBUTE.RAWDEV: {
      const [major, minor] = [from.u32(), from.u32()];
      return BigInt((major << 8) | (minor & 0xff) | ((minor & 0xfff00) << 12));
    }
    default:
      if (ofFile.some((each) => each === number) || ofServer.some((each) => each === number)) return from.u64();
      throw new TripodError("corrupt", `NFS: attribute ${number}, which was not asked for`);
  }
}

const numberOf = (values: ReadonlyMap<number, bigint | string>, number: number, missing = 0n): bigint => {
  const value = values.get(number);
  return typeof value === "bigint" ? value : missing;
};

/** Servers tell owners as "1000" or as "name@domain", of whose names we know root's alone. */
function accountOf(value: bigint | string | undefined): number {
  const [name = ""] = String(value ?? "").split("@");
  return /^\d+$/.test(name) ? Number(name) : name === "root" ? 0 : nobody;
}

export function readAttributes(from: XdrReader): LiveAttributes {
  const values = readValues(from);
  const type = typeBits[Number(numberOf(values, ATTRIBUTE.TYPE))];
  if (type === undefined) throw new TripodError("corrupt", "NFS: a file of no known type");
  return {
    ino: Number(BigInt.asUintN(53, numberOf(values, ATTRIBUTE.FILEID, 1n))),
    mode: type | Number(numberOf(values, ATTRIBUTE.MODE)),
    nlink: Number(numberOf(values, ATTRIBUTE.NUMLINKS, 1n)),
    uid: accountOf(values.get(ATTRIBUTE.OWNER)),
    gid: accountOf(values.get(ATTRIBUTE.OWNER_GROUP)),
    rdev: Number(numberOf(values, ATTRIBUTE.RAWDEV)),
    sizeBytes: Number(numberOf(values, ATTRIBUTE.SIZE)),
    blocks: Number((numberOf(values, ATTRIBUTE.SPACE_USED) + 511n) / 512n),
    atimeNs: numberOf(values, ATTRIBUTE.TIME_ACCESS),
    mtimeNs: numberOf(values, ATTRIBUTE.TIME_MODIFY),
    ctimeNs: numberOf(values, ATTRIBUTE.TIME_METADATA),
  };
}

export function readNameAttributes(from: XdrReader): { readonly ino: number; readonly mode: number } {
  const values = readValues(from);
  return {
    ino: Number(BigInt.asUintN(53, numberOf(values, ATTRIBUTE.FILEID, 1n))),
    mode: typeBits[Number(numberOf(values, ATTRIBUTE.TYPE))] ?? 0,
  };
}

export function readTotals(from: XdrReader): LiveTotals {
  const values = readValues(from);
  const blocks = (number: number): bigint => numberOf(values, number) / totalsBlockBytes;
  return {
    blockBytes: Number(totalsBlockBytes),
    blocks: blocks(ATTRIBUTE.SPACE_TOTAL),
    freeBlocks: blocks(ATTRIBUTE.SPACE_FREE),
    availableBlocks: blocks(ATTRIBUTE.SPACE_AVAIL),
    files: numberOf(values, ATTRIBUTE.FILES_TOTAL),
    freeFiles: numberOf(values, ATTRIBUTE.FILES_FREE),
  };
}

/** Attributes that are to be set. Owners are told by number, as servers take them with AUTH_SYS (RFC 8881, 5.9). */
export function writeChanges(to: XdrWriter, changes: AttributeChanges): void {
  const { sizeBytes, mode, uid, gid, atimeNs, mtimeNs } = changes;
  const numbers: AttributeNumber[] = [];
  const values = new XdrWriter();
  /** In the order of their numbers. */
  const add = <T>(number: AttributeNumber, value: T | undefined, write: (value: T) => void): void => {
    if (value === undefined) return;
    numbers.push(number);
    write(value);
  };
  add(ATTRIBUTE.SIZE, sizeBytes, (size) => void values.u64(size));
  add(ATTRIBUTE.MODE, mode, (bits) => void values.u32(bits));
  add(ATTRIBUTE.OWNER, uid, (id) => void values.opaque(String(id)));
  add(ATTRIBUTE.OWNER_GROUP, gid, (id) => void values.opaque(String(id)));
  add(ATTRIBUTE.TIME_ACCESS_SET, atimeNs, (time) => writeTime(values, time));
  add(ATTRIBUTE.TIME_MODIFY_SET, mtimeNs, (time) => writeTime(values, time));
  writeBitmap(to, numbers);
  to.opaque(values.bytes);
}

function writeTime(to: XdrWriter, time: bigint | "now"): void {
  if (time === "now") {
    to.u32(0);
    return;
  }
  const nanoseconds = ((time % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  to.u32(1)
    .u64((time - nanoseconds) / 1_000_000_000n)
    .u32(Number(nanoseconds));
}
