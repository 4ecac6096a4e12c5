import { TripodError } from "@tripod/base";
import { CHANGING, IN_HEADER_BYTES, OP } from "./fuse-numbers.ts";

/** What the kernel asks. `unique` names the request in its answer. */
export type FuseRequest = { readonly unique: bigint; readonly ino: number } & FuseQuestion;

export type FuseQuestion =
  | {
      readonly kind: "init";
      readonly major: number;
      readonly minor: number;
      readonly readahead: number;
      readonly flags: bigint;
    }
  | { readonly kind: "lookup"; readonly name: Uint8Array }
  | { readonly kind: "read"; readonly offset: number; readonly length: number }
  | { readonly kind: "list"; readonly plus: boolean; readonly offset: number; readonly length: number }
  | { readonly kind: "xattr"; readonly name: string; readonly length: number }
  | { readonly kind: "xattr-names"; readonly length: number }
  | { readonly kind: "attributes" | "target" | "open" | "open-folder" | "totals" }
  /** Answered by nothing but "well". */
  | { readonly kind: "done" }
  /** Answered by nothing at all. */
  | { readonly kind: "forget" | "destroy" }
  | { readonly kind: "interrupt"; readonly interrupted: bigint }
  | { readonly kind: "change" }
  | { readonly kind: "unknown"; readonly operation: number };

/** Reads one request as /dev/fuse gives it. It is the kernel's, so a length that is wrong is a mistake of ours: a "corrupt" error. */
export function parseFuseRequest(bytes: Buffer): FuseRequest {
  if (bytes.length < IN_HEADER_BYTES || bytes.readUInt32LE(0) !== bytes.length)
    throw new TripodError("corrupt", `fuse: a request of ${bytes.length} bytes that says otherwise`);
  const unique = bytes.readBigUInt64LE(8);
  const ino = Number(bytes.readBigUInt64LE(16));
  const body = bytes.subarray(IN_HEADER_BYTES);
  try {
    return { unique, ino, ...questionOf(bytes.readUInt32LE(4), body) };
  } catch (cause) {
    throw new TripodError("corrupt", `fuse: operation ${bytes.readUInt32LE(4)} with ${body.length} bytes`, { cause });
  }
}

function questionOf(operation: number, body: Buffer): FuseQuestion {
  switch (operation) {
    case OP.INIT:
      return {
        kind: "init",
        major: body.readUInt32LE(0),
        minor: body.readUInt32LE(4),
        readahead: body.readUInt32LE(8),
        flags: BigInt(body.readUInt32LE(12)) | (body.length >= 20 ? BigInt(body.readUInt32LE(16)) << 32n : 0n),
      };
    case OP.LOOKUP:
      return { kind: "lookup", name: textIn(body) };
    case OP.READ:
      return { kind: "read", offset: Number(body.readBigUInt64LE(8)), length: body.readUInt32LE(16) };
    case OP.READDIR:
    case OP.READDIRPLUS:
      return {
        kind: "list",
        plus: operation === OP.READDIRPLUS,
        offset: Number(body.readBigUInt64LE(8)),
        length: body.readUInt32LE(16),
      };
    case OP.GETXATTR:
      return { kind: "xattr", length: body.readUInt32LE(0), name: textIn(body.subarray(8)).toString("latin1") };
    case OP.LISTXATTR:
      return { kind: "xattr-names", length: body.readUInt32LE(0) };
    case OP.GETATTR:
      return { kind: "attributes" };
    case OP.READLINK:
      return { kind: "target" };
    case OP.OPEN:
      return { kind: "open" };
    case OP.OPENDIR:
      return { kind: "open-folder" };
    case OP.STATFS:
      return { kind: "totals" };
    case OP.RELEASE:
    case OP.RELEASEDIR:
    case OP.FLUSH:
      return { kind: "done" };
    case OP.FORGET:
    case OP.BATCH_FORGET:
      return { kind: "forget" };
    case OP.DESTROY:
      return { kind: "destroy" };
    case OP.INTERRUPT:
      return { kind: "interrupt", interrupted: body.readBigUInt64LE(0) };
    default:
      return CHANGING.has(operation) ? { kind: "change" } : { kind: "unknown", operation };
  }
}

/** A name up to its NUL, copied: the buffer that requests come in is used again. */
function textIn(body: Buffer): Buffer {
  const end = body.indexOf(0);
  if (end < 0) throw new RangeError("a name without an end");
  return Buffer.from(body.subarray(0, end));
}
