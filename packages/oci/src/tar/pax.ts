import { TripodError } from "@tripod/base";
import { decimal } from "./tar-numbers.ts";
import type { SparsePiece } from "./sparse.ts";

/** What a PAX extended header (POSIX pax, "x" members) says about the member after it. */
export interface PaxRecords {
  readonly values: ReadonlyMap<string, string>;
  readonly xattrs: ReadonlyMap<string, Buffer>;
  /** The map of GNU sparse format 0.0, which repeats its keys. */
  readonly sparsePieces: readonly SparsePiece[];
}

const xattrPrefix = "SCHILY.xattr.";
const bad = (): TripodError => new TripodError("invalid", "tar: malformed PAX header");

/** Reads "LENGTH KEY=VALUE\n" records; values stay byte strings. */
export function parsePax(body: Buffer): PaxRecords {
  const values = new Map<string, string>();
  const xattrs = new Map<string, Buffer>();
  const sparsePieces: SparsePiece[] = [];
  let sparseOffset: number | undefined;
  for (let at = 0; at < body.length; ) {
    const space = body.indexOf(0x20, at);
    if (space === -1 || space - at > 10) {
      // Some writers pad the body with NULs.
      if (body.subarray(at).every((byte) => byte === 0)) break;
      throw bad();
    }
    const length = decimal(body.toString("latin1", at, space), "PAX record length");
    const end = at + length;
    if (end > body.length || end <= space + 2 || body[end - 1] !== 0x0a) throw bad();
    const equals = body.indexOf(0x3d, space + 1);
    if (equals === -1 || equals >= end) throw bad();
    const key = body.toString("latin1", space + 1, equals);
    const value = body.subarray(equals + 1, end - 1);
    if (key.startsWith(xattrPrefix)) xattrs.set(key.slice(xattrPrefix.length), Buffer.from(value));
    else if (key === "GNU.sparse.offset") sparseOffset = decimal(value.toString("latin1"), "sparse offset");
    else if (key === "GNU.sparse.numbytes") {
      if (sparseOffset === undefined) throw bad();
      sparsePieces.push({ offset: sparseOffset, length: decimal(value.toString("latin1"), "sparse length") });
      sparseOffset = undefined;
    } else values.set(key, value.toString("latin1"));
    at = end;
  }
  return { values, xattrs, sparsePieces };
}

/** PAX times: decimal seconds, maybe negative, maybe with a fraction. */
export function paxTime(text: string): number {
  if (!/^-?\d{1,15}(\.\d*)?$/.test(text)) throw new TripodError("invalid", "tar: malformed time in a PAX header");
  return Number(text);
}

/** The same to the nanosecond; undefined for whole seconds. Digits beyond are cut off. */
export function paxTimeNs(text: string): bigint | undefined {
  const [, sign, seconds = "", fraction = ""] = /^(-?)(\d{1,15})\.(\d*)$/.exec(text) ?? [];
  if (sign === undefined || /^0*$/.test(fraction)) return undefined;
  const nanoseconds = BigInt(seconds) * 1_000_000_000n + BigInt(fraction.slice(0, 9).padEnd(9, "0"));
  return sign === "-" ? -nanoseconds : nanoseconds;
}
