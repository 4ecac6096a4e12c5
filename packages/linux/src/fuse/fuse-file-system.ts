import { constants } from "node:os";

/** What the kernel knows of a file. Names of the fields are stat(2)'s. */
export interface FuseAttributes {
  /** Which file it is; the root folder is 1. Above 0 and below 2^53. */
  readonly ino: number;
  /** Type and permission bits. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  /** Of a device, in the kernel's packing of 32 bits; else 0. */
  readonly rdev: number;
  readonly sizeBytes: number;
  readonly mtimeNs: bigint;
}

/** A name in a folder, as the bytes that it is made of. */
export interface FuseEntry {
  readonly name: Uint8Array;
  readonly ino: number;
}

/** Refuses what the kernel asks for with an errno, "EIO". Any other error that a file system throws is told as EIO. */
export class FuseError extends Error {
  readonly errno: keyof typeof constants.errno;

  constructor(errno: keyof typeof constants.errno, message: string = errno) {
    super(message);
    this.name = "FuseError";
    this.errno = errno;
  }
}

/**
 * A file system that never changes, for mountFuse(). What it says of files is kept by the kernel for ever. Everything but read() answers at
 * once, from memory: the kernel's callers wait. Only numbers that it has named are asked for; for others it may answer undefined.
 */
export interface FuseFileSystem {
  attributes(ino: number): FuseAttributes | undefined;
  /** The file of that name in a folder. */
  lookup(folder: number, name: Uint8Array): FuseAttributes | undefined;
  /** A folder's content, without "." and "..": the same names in the same order at each call. */
  entries(folder: number): readonly FuseEntry[];
  /** A symbolic link's target. */
  target(ino: number): Uint8Array | undefined;
  /** Extended attributes by their whole names, "security.capability". */
  xattrs(ino: number): ReadonlyMap<string, Uint8Array>;
  /** `length` bytes from `offset` on, fewer only at the file's end. `signal`: nobody waits any more. */
  read(
    ino: number,
    range: { readonly offset: number; readonly length: number },
    signal: AbortSignal,
  ): Promise<Uint8Array>;
  /** What statfs(2) tells. */
  readonly totals: { readonly bytes: number; readonly files: number };
}
