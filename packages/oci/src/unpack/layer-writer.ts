import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  ftruncateSync,
  futimesSync,
  lchownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  rmSync,
  type Stats,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { isNodeError, TripodError } from "@tripod/base";
import { isErrno, lsetxattr, lutimesNs, mknod } from "@tripod/linux";
import type { ByteString, TarEntry, TarSink } from "../tar/tar-entry.ts";
import { bytesOf, componentsOf, printable } from "./entry-path.ts";
import { walkTree } from "../snapshots/walk-tree.ts";
import { LayerBudget, type LayerLimits } from "./layer-limits.ts";
import { LayerRoot, lstatOrNone } from "./layer-root.ts";

const whiteoutPrefix = ".wh.";
/** Of names that aufs keeps for its own bookkeeping. */
const aufsPrefix = ".wh..wh.";
const opaqueMarker = ".wh..wh..opq";
const opaqueXattr = "trusted.overlay.opaque";
const nodeKinds = { char: "character", block: "block", fifo: "fifo" } as const;
const maxOwner = 0xffff_fffe;

/** What unpacking a layer made. */
export interface LayerContents {
  /** Disk space, in whole blocks. */
  readonly bytes: number;
  readonly inodes: number;
  /** Folders that the archive uses but does not describe: their owner and mode follow from the layers below. "" is the root itself. */
  readonly implied: readonly ByteString[];
  /** The layer hides everything below it. */
  readonly opaqueRoot: boolean;
  /** How many extended attributes this file system does not take. */
  readonly refusedXattrs: number;
}

/**
 * Writes a layer's members into an empty folder in overlayfs's own terms: `.wh.NAME` becomes a character device 0:0, an opaque
 * folder gets trusted.overlay.opaque. No member can reach outside of the folder. All calls are synchronous: run it in a worker.
 */
export class LayerWriter implements TarSink {
  readonly #at: LayerRoot;
  readonly #budget: LayerBudget;
  /** Whiteouts made by this layer. */
  readonly #whiteouts = new Set<ByteString>();
  /** A folder's time is set last, because every file made in it changes it. */
  readonly #folderTimes = new Map<ByteString, TarEntry>();
  #current: { path: ByteString; entry: TarEntry; fd: number | undefined; written: number } | undefined;
  #bytes = 0;
  #inodes = 0;
  #opaqueRoot = false;
  #rootDescribed = false;
  #refusedXattrs = 0;

  constructor(dir: string, limits: LayerLimits) {
    this.#budget = new LayerBudget(limits);
    this.#at = new LayerRoot(dir, (path, existing) => this.#makeFolder(path, existing));
  }

  /** To be told how much of the unpacked stream has come. */
  stream(bytes: number): void {
    this.#budget.stream(bytes);
  }

  entry(entry: TarEntry): void {
    this.#budget.entry(entry.size);
    const components = componentsOf(entry.name);
    const base = components.pop();
    const reserved = components.find((component) => component.startsWith(whiteoutPrefix));
    if (reserved?.startsWith(aufsPrefix) === true) return; // what lies in aufs's own folders
    if (reserved !== undefined) throw this.#refuse(entry, "a whiteout is no folder");
    if (base?.startsWith(whiteoutPrefix) === true) {
      this.#whiteout(components, base, entry);
      return;
    }
    if (entry.uid > maxOwner || entry.gid > maxOwner || entry.uid < 0 || entry.gid < 0) {
      throw this.#refuse(entry, "its owner is not a user or group number");
    }
    if (base === undefined) {
      this.#root(entry);
      return;
    }
    const path = `${this.#folder(components)}/${base}`;
    if (entry.type === "directory") this.#directory(path, entry);
    else this.#other(path, entry);
  }

  data(piece: Buffer, offset: number): void {
    const current = this.#current;
    if (current?.fd === undefined) return; // content of a whiteout marker: nobody needs it
    for (let done = 0; done < piece.length; )
      done += writeSync(current.fd, piece, done, piece.length - done, offset + done);
    current.written = offset + piece.length; // pieces ascend
  }

  end(): void {
    const current = this.#current;
    this.#current = undefined;
    if (current?.fd === undefined) return;
    const { fd, entry, path, written } = current;
    try {
      // Writing takes away setuid and security.capability, chown too: so owner, mode and attributes come last, in this order.
      if (written !== entry.size) ftruncateSync(fd, entry.size); // it ends with a hole
      if (entry.uid !== 0 || entry.gid !== 0) fchownSync(fd, entry.uid, entry.gid);
      fchmodSync(fd, entry.mode);
      this.#xattrs(path, entry);
      if (isPlainTime(entry)) futimesSync(fd, entry.mtime, entry.mtime);
      else setTimes(bytesOf(path), entry);
    } finally {
      closeSync(fd);
    }
  }

  /** Gives up in the middle. */
  abandon(): void {
    if (this.#current?.fd !== undefined) closeSync(this.#current.fd);
    this.#current = undefined;
  }

  /** Sets the folders' times and sums up; to be called once, after the last member. */
  finish(): LayerContents {
    for (const [path, entry] of this.#folderTimes) setTimes(bytesOf(path), entry);
    return {
      bytes: this.#bytes,
      inodes: this.#inodes,
      implied: [...(this.#rootDescribed ? [] : [""]), ...this.#at.implied],
      opaqueRoot: this.#opaqueRoot,
      refusedXattrs: this.#refusedXattrs,
    };
  }

  #folder(components: readonly string[]): ByteString {
    // Only without a refusal can the answer be undefined.
    return this.#madeFolder(components, true) as ByteString;
  }

  #madeFolder(components: readonly string[], refuse: boolean): ByteString | undefined {
    const before = this.#at.implied.size;
    const path = this.#at.folder(components, { refuse });
    this.#count(this.#at.implied.size - before, 4096 * (this.#at.implied.size - before));
    return path;
  }

  #count(inodes: number, bytes: number): void {
    this.#inodes += inodes;
    this.#bytes += Math.ceil(bytes / 4096) * 4096;
  }

  /** Takes back what was counted for everything at or below `path`, which is about to be removed; a file with names elsewhere stays. */
  #uncount(path: ByteString): void {
    const names = new Map<bigint, bigint>();
    for (const { stat } of walkTree(path)) {
      if (!stat.isDirectory()) {
        const removed = (names.get(stat.ino) ?? 0n) + 1n;
        names.set(stat.ino, removed);
        if (removed < stat.nlink) continue;
      }
      this.#inodes -= 1;
      this.#bytes -= stat.isDirectory() ? 4096 : stat.isFile() ? Math.ceil(Number(stat.size) / 4096) * 4096 : 0;
    }
  }

  #refuse(entry: TarEntry, why: string): TripodError {
    return new TripodError("invalid", `layer member ${printable(entry.name)}: ${why}; the layer is refused`);
  }

  #root(entry: TarEntry): void {
    if (entry.type !== "directory") throw this.#refuse(entry, "it would replace the root folder");
    this.#rootDescribed = true;
    this.#attributes(this.#at.root, entry);
  }

  /** Makes a folder that no member described; where this layer has put a whiteout, it hides what is below instead. */
  #makeFolder(path: ByteString, existing: Stats | undefined): boolean {
    if (existing === undefined) {
      mkdirSync(bytesOf(path), { mode: 0o755 });
      return true;
    }
    if (!this.#whiteouts.delete(path)) return false;
    this.#uncount(path);
    unlinkSync(bytesOf(path));
    mkdirSync(bytesOf(path), { mode: 0o755 });
    this.#markOpaque(path);
    return true;
  }

  #directory(path: ByteString, entry: TarEntry): void {
    const existing = lstatOrNone(path);
    if (existing?.isDirectory() !== true) {
      const hides = this.#whiteouts.delete(path);
      if (existing !== undefined) {
        this.#uncount(path);
        unlinkSync(bytesOf(path));
      }
      mkdirSync(bytesOf(path), { mode: 0o700 });
      this.#count(1, 4096);
      if (hides) this.#markOpaque(path);
    }
    this.#at.implied.delete(this.#at.relative(path));
    this.#attributes(path, entry);
  }

  #attributes(path: ByteString, entry: TarEntry): void {
    lchownSync(bytesOf(path), entry.uid, entry.gid);
    chmodSync(bytesOf(path), entry.mode);
    this.#xattrs(path, entry);
    this.#folderTimes.set(path, entry);
  }

  #other(path: ByteString, entry: TarEntry): void {
    const linkTarget = entry.type === "link" ? this.#linkTarget(entry) : undefined;
    if (linkTarget === path) return; // a link to itself: it is there already
    const raw = bytesOf(path);
    if (entry.type === "file") {
      this.#count(1, entry.size);
      this.#current = { path, entry, fd: this.#create(path, raw), written: 0 };
      return;
    }
    this.#clear(path);
    switch (entry.type) {
      case "link":
        // Set above for this very type.
        linkSync(bytesOf(linkTarget as ByteString), raw);
        return;
      case "symlink":
        if (entry.linkName === "") throw this.#refuse(entry, "a symbolic link without a target");
        symlinkSync(bytesOf(entry.linkName), raw);
        lchownSync(raw, entry.uid, entry.gid);
        break;
      case "char":
      case "block":
      case "fifo":
        mknod(raw, {
          kind: nodeKinds[entry.type],
          mode: entry.mode,
          major: entry.deviceMajor,
          minor: entry.deviceMinor,
        });
        lchownSync(raw, entry.uid, entry.gid);
        chmodSync(raw, entry.mode);
        break;
      case "directory":
        throw this.#refuse(entry, "a folder is not written here"); // entry() sends folders elsewhere
    }
    this.#count(1, 0);
    this.#xattrs(path, entry);
    setTimes(raw, entry);
  }

  /** A new, empty file; what stands there makes way. Nearly always nothing does, so that nobody looks first. */
  #create(path: ByteString, raw: Buffer): number {
    const flags = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW;
    try {
      return openSync(raw, flags, 0o600);
    } catch (error) {
      if (!isNodeError(error, "EEXIST")) throw error;
      this.#clear(path);
      return openSync(raw, flags, 0o600);
    }
  }

  #clear(path: ByteString): void {
    const existing = lstatOrNone(path);
    if (existing === undefined) return;
    this.#uncount(path);
    this.#whiteouts.delete(path);
    if (!existing.isDirectory()) unlinkSync(bytesOf(path));
    else {
      rmSync(bytesOf(path), { recursive: true });
      this.#at.forget();
      for (const set of [this.#folderTimes, this.#whiteouts]) {
        for (const key of set.keys()) if (key === path || key.startsWith(`${path}/`)) set.delete(key);
      }
      for (const item of this.#at.implied) {
        if (`${this.#at.root}/${item}/`.startsWith(`${path}/`)) this.#at.implied.delete(item);
      }
    }
  }

  #linkTarget(entry: TarEntry): ByteString {
    const components = componentsOf(entry.linkName);
    const base = components.pop();
    const folder = base === undefined ? undefined : this.#at.folder(components, { create: false });
    const path = `${folder}/${base}`;
    const stat = folder === undefined ? undefined : lstatOrNone(path);
    if (stat === undefined || stat.isDirectory() || this.#whiteouts.has(path)) {
      throw this.#refuse(entry, `it is a hard link to ${printable(entry.linkName)}, which is not a file of this layer`);
    }
    return path;
  }

  #whiteout(components: readonly string[], base: string, entry: TarEntry): void {
    if (base === opaqueMarker) {
      const folder = this.#madeFolder(components, false);
      if (components.length === 0) this.#opaqueRoot = true;
      else if (folder !== undefined) this.#markOpaque(folder);
      return;
    }
    if (base.startsWith(aufsPrefix)) return;
    const name = base.slice(whiteoutPrefix.length);
    if (name === "" || name === "." || name === "..")
      throw this.#refuse(entry, "a whiteout of nothing, or of a whole folder");
    const folder = this.#madeFolder(components, false);
    // umoci says of a folder that has become a file that what was in it is gone, too: it is, with the folder.
    if (folder === undefined) return;
    const path = `${folder}/${name}`;
    const existing = lstatOrNone(path);
    if (existing === undefined) {
      mknod(bytesOf(path), { kind: "character", mode: 0 });
      setTimes(bytesOf(path), entry); // the same each time that the layer is unpacked
      this.#whiteouts.add(path);
      this.#count(1, 0);
    } else if (existing.isDirectory()) this.#markOpaque(path); // this layer's own folder stays, what is below it goes
  }

  #markOpaque(path: ByteString): void {
    lsetxattr(bytesOf(path), opaqueXattr, { value: Buffer.from("y") });
  }

  #xattrs(path: ByteString, entry: TarEntry): void {
    for (const [name, value] of entry.xattrs) {
      // Only overlayfs itself, and the markers above, may say what overlayfs is to make of a file.
      if (name.startsWith("trusted.overlay.")) continue;
      try {
        lsetxattr(bytesOf(path), name, { value });
      } catch (error) {
        if (!isErrno(error, "EOPNOTSUPP", "EPERM")) throw error;
        this.#refusedXattrs += 1;
      }
    }
  }
}

/** Node's own calls count in fractions of seconds, and take a time before 1970 for now. */
const isPlainTime = ({ mtime, mtimeNs }: TarEntry): boolean => mtimeNs === undefined && mtime >= 0;

/** Sets the times of what is at the path, a link itself. */
function setTimes(path: Buffer, entry: TarEntry): void {
  const { mtime, mtimeNs = BigInt(Math.floor(mtime)) * 1_000_000_000n } = entry;
  if (isPlainTime(entry)) lutimesSync(path, mtime, mtime);
  else lutimesNs(path, { accessedAtNs: mtimeNs, modifiedAtNs: mtimeNs });
}
