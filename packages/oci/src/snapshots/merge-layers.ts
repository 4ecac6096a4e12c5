import {
  chmodSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  rmSync,
  type BigIntStats,
  symlinkSync,
} from "node:fs";
import {
  copyContent,
  type IdMapping,
  isErrno,
  lgetxattr,
  llistxattr,
  lsetxattr,
  lutimesNs,
  mknod,
} from "@tripod/linux";
import type { ByteString } from "../tar/tar-entry.ts";
import { bytesOf, toByteString } from "../unpack/entry-path.ts";
import { hostIdOf, mapAttribute } from "./owner-mapping.ts";

/** The user namespace whose owners a copy is to have on the disk, where mounts cannot be id-mapped. */
export interface Owners {
  readonly uids: IdMapping;
  readonly gids: IdMapping;
}

export interface MergeOptions {
  /** Folders of layers, topmost first, in overlayfs's terms: character devices 0:0 hide, trusted.overlay.opaque empties. */
  readonly lower: readonly string[];
  /** An empty folder. */
  readonly into: string;
  readonly owners?: Owners | undefined;
}

export interface Merged {
  /** Inodes whose content is shared with a layer's file (a reflink): they take no space of their own. */
  readonly shared: ReadonlySet<bigint>;
}

/** What only overlayfs itself may say; it means nothing in a plain folder. */
const overlayAttribute = /^(trusted|user)\.(overlay|fuseoverlayfs)\./;

const kindOf = (stat: BigIntStats): "character" | "block" | "fifo" | "socket" =>
  stat.isCharacterDevice() ? "character" : stat.isBlockDevice() ? "block" : stat.isFIFO() ? "fifo" : "socket";

/** Numbers of a device as the C library packs them. */
const majorOf = (device: bigint): number => Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn));
const minorOf = (device: bigint): number => Number((device & 0xffn) | ((device >> 12n) & 0xffffff00n));

/** Makes of layers the one folder that overlayfs would show, sharing file contents where the file system can. Blocks: for workers. */
export function mergeLayers({ lower, into, owners }: MergeOptions): Merged {
  const shared = new Set<bigint>();
  const root = toByteString(into);
  for (const layer of lower.toReversed()) new LayerMerge(owners, shared).folder(toByteString(layer), root);
  return { shared };
}

class LayerMerge {
  readonly #owners: Owners | undefined;
  readonly #shared: Set<bigint>;
  /** Where the files are that this layer has under several names. */
  readonly #links = new Map<string, ByteString>();

  constructor(owners: Owners | undefined, shared: Set<bigint>) {
    this.#owners = owners;
    this.#shared = shared;
  }

  /** Lays a folder of the layer over the folder `to`, which is there. */
  folder(from: ByteString, to: ByteString): void {
    for (const name of readdirSync(bytesOf(from), { encoding: "latin1" })) {
      const [source, target] = [`${from}/${name}`, `${to}/${name}`];
      const stat = lstatSync(bytesOf(source), { bigint: true });
      if (stat.isDirectory()) this.#over(source, target);
      else {
        rmSync(bytesOf(target), { recursive: true, force: true });
        if (!(stat.isCharacterDevice() && stat.rdev === 0n)) this.#file(source, target, stat);
      }
    }
    this.#attributes(from, to, lstatSync(bytesOf(from), { bigint: true }));
  }

  #over(source: ByteString, target: ByteString): void {
    const below = lstatSync(bytesOf(target), { throwIfNoEntry: false });
    const hides = below?.isDirectory() !== true || isOpaque(source);
    if (below !== undefined && hides) rmSync(bytesOf(target), { recursive: true });
    if (hides) mkdirSync(bytesOf(target), { mode: 0o700 });
    this.folder(source, target);
  }

  #file(source: ByteString, target: ByteString, stat: BigIntStats): void {
    const inode = `${stat.dev}:${stat.ino}`;
    const known = stat.nlink > 1n ? this.#links.get(inode) : undefined;
    if (known !== undefined) {
      linkSync(bytesOf(known), bytesOf(target));
      return;
    }
    if (stat.isFile()) this.#content(source, target);
    else if (stat.isSymbolicLink()) symlinkSync(readlinkSync(bytesOf(source), { encoding: "buffer" }), bytesOf(target));
    else {
      const { rdev } = stat;
      mknod(bytesOf(target), { kind: kindOf(stat), mode: 0o600, major: majorOf(rdev), minor: minorOf(rdev) });
    }
    this.#attributes(source, target, stat);
    if (stat.nlink > 1n) this.#links.set(inode, target);
  }

  #content(source: ByteString, target: ByteString): void {
    const isShared = copyContent(bytesOf(source), bytesOf(target));
    const { ino } = lstatSync(bytesOf(target), { bigint: true });
    if (isShared) this.#shared.add(ino);
    else this.#shared.delete(ino); // an inode that a removed file had
  }

  /** Owner, mode, attributes, time: in this order, for each takes away of what comes after. */
  #attributes(source: ByteString, target: ByteString, stat: BigIntStats): void {
    const to = bytesOf(target);
    lchownSync(to, hostIdOf(Number(stat.uid), this.#owners?.uids), hostIdOf(Number(stat.gid), this.#owners?.gids));
    if (!stat.isSymbolicLink()) chmodSync(to, Number(stat.mode & 0o7777n));
    for (const name of attributesOf(source)) {
      const value = overlayAttribute.test(name) ? undefined : lgetxattr(bytesOf(source), name);
      if (value !== undefined) setAttribute(to, name, mapAttribute(name, value, this.#owners));
    }
    lutimesNs(to, { modifiedAtNs: stat.mtimeNs });
  }
}

function attributesOf(path: ByteString): string[] {
  try {
    return llistxattr(bytesOf(path));
  } catch (error) {
    if (isErrno(error, "EOPNOTSUPP")) return [];
    throw error;
  }
}

/** What the file system does not take is left out, as when layers are unpacked. */
function setAttribute(path: Buffer, name: string, value: Buffer): void {
  try {
    lsetxattr(path, name, { value });
  } catch (error) {
    if (!isErrno(error, "EOPNOTSUPP", "EPERM")) throw error;
  }
}

const isOpaque = (path: ByteString): boolean => lgetxattr(bytesOf(path), "trusted.overlay.opaque")?.toString() === "y";
