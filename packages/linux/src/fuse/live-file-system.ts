import type { FuseAttributes } from "./fuse-file-system.ts";

/** Who asks, as the kernel says; `pid` is 0 for a process that this one cannot see. */
export interface FuseCaller {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
}

/** A file's attributes with all three times. */
export interface LiveAttributes extends FuseAttributes {
  readonly atimeNs: bigint;
  readonly ctimeNs: bigint;
  /** What its content takes, in blocks of 512 bytes. */
  readonly blocks: number;
}

/** A file that the kernel now knows by `node`, until it has forgotten it as often as it was told. The root folder's is 1. */
export interface LiveEntry {
  readonly node: number;
  readonly attributes: LiveAttributes;
}

/** What of a file is to change. A time of "now" is the server's. */
export interface AttributeChanges {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly sizeBytes?: bigint;
  readonly atimeNs?: bigint | "now";
  readonly mtimeNs?: bigint | "now";
}

export interface LiveName {
  readonly name: Uint8Array;
  readonly ino: number;
  /** Of which the type alone counts. */
  readonly mode: number;
  /** Where to go on after this name; above 2. */
  readonly cookie: bigint;
}

export interface LiveTotals {
  readonly blockBytes: number;
  readonly blocks: bigint;
  readonly freeBlocks: bigint;
  readonly availableBlocks: bigint;
  readonly files: bigint;
  readonly freeFiles: bigint;
}

/** What a new file is to be. `mode` has no type for regular files and folders. */
export interface NewFile {
  readonly mode: number;
  /** Of a device. */
  readonly rdev: number;
}

/**
 * A file system that changes, also by the doing of others, for mountLiveFuse(): the kernel keeps nothing without asking. Each call answers when it
 * can, or refuses with a FuseError. Who may do what is this file system's to say.
 */
export interface LiveFileSystem {
  lookup(folder: number, name: Buffer, caller: FuseCaller): Promise<LiveEntry>;
  forget(node: number, count: number): void;
  attributes(node: number, caller: FuseCaller): Promise<LiveAttributes>;
  change(
    node: number,
    changes: AttributeChanges,
    caller: FuseCaller,
    handle: number | undefined,
  ): Promise<LiveAttributes>;
  /** access(2)'s bits. */
  access(node: number, mask: number, caller: FuseCaller): Promise<void>;
  target(node: number, caller: FuseCaller): Promise<Uint8Array>;
  makeFolder(folder: number, name: Buffer, made: NewFile, caller: FuseCaller): Promise<LiveEntry>;
  /** A device, a FIFO or a socket; or an empty file. */
  makeNode(folder: number, name: Buffer, made: NewFile, caller: FuseCaller): Promise<LiveEntry>;
  makeSymlink(folder: number, name: Buffer, target: Buffer, caller: FuseCaller): Promise<LiveEntry>;
  link(node: number, to: { readonly folder: number; readonly name: Buffer }, caller: FuseCaller): Promise<LiveEntry>;
  removeFile(folder: number, name: Buffer, caller: FuseCaller): Promise<void>;
  removeFolder(folder: number, name: Buffer, caller: FuseCaller): Promise<void>;
  rename(
    from: { readonly folder: number; readonly name: Buffer },
    to: { readonly folder: number; readonly name: Buffer },
    options: { readonly keep: boolean; readonly caller: FuseCaller },
  ): Promise<void>;
  /** Makes an empty file and opens it. `exclusive`: it must not be there. */
  create(
    folder: number,
    name: Buffer,
    made: NewFile & { readonly exclusive: boolean; readonly truncate: boolean },
    caller: FuseCaller,
  ): Promise<LiveEntry & { readonly handle: number }>;
  /** A handle for reads and writes, which go on with the rights of who has opened it. `flags`: open(2)'s. */
  open(node: number, flags: number, caller: FuseCaller): Promise<number>;
  release(handle: number): Promise<void>;
  read(handle: number, range: { readonly offset: number; readonly length: number }): Promise<Uint8Array>;
  /** How many bytes are written for good. */
  write(handle: number, offset: number, bytes: Uint8Array): Promise<number>;
  /** Names from `cookie` on, none at the end; without "." and "..". */
  list(folder: number, cookie: bigint, caller: FuseCaller): Promise<readonly LiveName[]>;
  totals(node: number, caller: FuseCaller): Promise<LiveTotals>;
}
