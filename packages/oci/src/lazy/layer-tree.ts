import { constants } from "node:fs";
import { TripodError } from "@tripod/base";
import { type FuseAttributes, type FuseEntry, FuseError, type FuseFileSystem } from "@tripod/linux";
import { servedFolder } from "../snapshots/lazy-layers.ts";
import type { ByteString, TarEntry } from "../tar/tar-entry.ts";
import { bytesOf, componentsOf, printable } from "../unpack/entry-path.ts";
import { type DataChunk, isData, type TocChunk, type TocFile } from "./layer-toc.ts";

/** Owner, mode and time that a folder has in the layers below. */
export type FolderAttributes = Pick<FuseAttributes, "mode" | "uid" | "gid" | "mtimeNs">;

export interface LayerTreeOptions {
  /** What a folder that the layer uses but does not describe is in the layers below; "" is the root. Undefined when it is none there. */
  readonly below: (path: ByteString) => FolderAttributes | undefined;
  /** A chunk's content, verified. */
  readonly chunk: (chunk: DataChunk, signal: AbortSignal) => Promise<Uint8Array>;
}

const opaqueXattr = "trusted.overlay.opaque";
const rootIno = 2;

interface Node {
  attributes: FuseAttributes;
  readonly type: TarEntry["type"] | "whiteout";
  /** Of a folder. */
  readonly children: Map<ByteString, number> | undefined;
  readonly chunks: readonly TocChunk[];
  readonly target: ByteString;
  readonly xattrs: Map<string, Uint8Array>;
  /** A folder that no member describes. */
  implied: boolean;
}

const typeBits: Readonly<Record<Node["type"], number>> = {
  file: constants.S_IFREG,
  link: constants.S_IFREG,
  symlink: constants.S_IFLNK,
  directory: constants.S_IFDIR,
  char: constants.S_IFCHR,
  block: constants.S_IFBLK,
  fifo: constants.S_IFIFO,
  whiteout: constants.S_IFCHR,
};

const emptyList: readonly FuseEntry[] = [];

/**
 * A layer as its table of contents describes it, in overlayfs's own terms, below the folder servedFolder: the same files as LayerWriter makes of
 * its archive. The metadata is in memory, content comes chunk by chunk.
 */
export class LayerTree implements FuseFileSystem {
  readonly totals: { readonly bytes: number; readonly files: number };
  /** The layer hides everything below it. */
  readonly opaqueRoot: boolean;
  readonly #nodes: Node[] = []; // by their numbers less 1
  readonly #chunk: LayerTreeOptions["chunk"];
  #lists = new Map<number, readonly FuseEntry[]>();

  constructor(files: readonly TocFile[], options: LayerTreeOptions) {
    this.#chunk = options.chunk;
    const top = this.#add("directory", { mode: 0o755 });
    const root = this.#add("directory", { mode: 0o755 });
    this.#node(root).implied = true;
    this.#children(top).set(servedFolder, root);
    let opaqueRoot = false;
    for (const file of files) opaqueRoot = this.#take(file) || opaqueRoot;
    this.opaqueRoot = opaqueRoot;
    this.#adopt(rootIno, "", options.below);
    this.totals = {
      bytes: this.#nodes.reduce((sum, { attributes }) => sum + attributes.sizeBytes, 0),
      files: this.#nodes.length,
    };
  }

  #add(
    type: Node["type"],
    more: Partial<FuseAttributes> & { readonly chunks?: readonly TocChunk[]; readonly target?: ByteString } = {},
  ): number {
    const { chunks = [], target = "", mode = 0, ...attributes } = more;
    const ino = this.#nodes.length + 1;
    this.#nodes.push({
      type,
      attributes: {
        ino,
        mode: typeBits[type] | (mode & 0o7777),
        nlink: type === "directory" ? 2 : 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        sizeBytes: target.length,
        mtimeNs: 0n,
        ...attributes,
      },
      children: type === "directory" ? new Map() : undefined,
      chunks,
      target,
      xattrs: new Map(),
      implied: false,
    });
    return ino;
  }

  #node(ino: number): Node {
    const node = this.#nodes[ino - 1];
    if (node === undefined) throw new FuseError("ESTALE");
    return node;
  }

  #children(ino: number): Map<ByteString, number> {
    const { children } = this.#node(ino);
    if (children === undefined) throw new FuseError("ENOTDIR");
    return children;
  }

  /** Puts a member into the tree; true when it says that the root hides all below. */
  #take({ entry, chunks }: TocFile): boolean {
    const components = componentsOf(entry.name);
    const base = components.pop();
    if (base === undefined) {
      if (entry.type !== "directory") throw refuse(entry, "it would replace the root folder");
      this.#describe(rootIno, entry);
      return false;
    }
    if (base === ".wh..wh..opq") {
      if (components.length === 0) return true;
      const hidden = this.#folder(components);
      if (hidden !== undefined) this.#markOpaque(hidden);
      return false;
    }
    if (base.startsWith(".wh..wh.")) return false;
    const ino = this.#folder(components);
    if (ino === undefined) {
      // What was in a folder that has become a file is gone anyway.
      if (base.startsWith(".wh.")) return false;
      // Where a symbolic link is in the way, unpacking the whole follows it; here it is not worth its dangers.
      throw refuse(entry, "what is above it is no folder");
    }
    const folder = this.#children(ino);
    if (base.startsWith(".wh.")) this.#whiteout(folder, base.slice(4), entry);
    else if (entry.type === "directory") this.#directory(folder, base, entry);
    else if (entry.type === "link") this.#link(folder, base, entry);
    else this.#other(folder, base, { entry, chunks });
    return false;
  }

  /** The folder of that path, made as far as it is missing; undefined when something else is in the way. */
  #folder(components: readonly string[]): number | undefined {
    let at = rootIno;
    for (const name of components) {
      const children = this.#children(at);
      const found = children.get(name);
      const node = found === undefined ? undefined : this.#node(found);
      if (found !== undefined && node?.type === "directory") at = found;
      else {
        if (node !== undefined && node.type !== "whiteout") return undefined;
        at = this.#add("directory", { mode: 0o755 });
        this.#node(at).implied = true;
        if (node !== undefined) this.#markOpaque(at);
        children.set(name, at);
      }
    }
    return at;
  }

  #directory(folder: Map<ByteString, number>, name: ByteString, entry: TarEntry): void {
    const before = folder.get(name);
    const known = before === undefined ? undefined : this.#node(before);
    let ino = before;
    if (ino === undefined || known?.type !== "directory") {
      ino = this.#add("directory");
      if (known?.type === "whiteout") this.#markOpaque(ino);
      folder.set(name, ino);
    }
    this.#describe(ino, entry);
  }

  #describe(ino: number, entry: TarEntry): void {
    const node = this.#node(ino);
    node.implied = false;
    node.attributes = { ...node.attributes, ...common(entry), mode: typeBits.directory | entry.mode };
    takeXattrs(node, entry);
  }

  #link(folder: Map<ByteString, number>, name: ByteString, entry: TarEntry): void {
    const components = componentsOf(entry.linkName);
    let at: number | undefined = rootIno;
    for (const component of components) at = at === undefined ? undefined : this.#node(at).children?.get(component);
    const target = at === undefined ? undefined : this.#node(at);
    if (at === undefined || target === undefined || target.type === "directory" || target.type === "whiteout")
      throw refuse(entry, `it is a hard link to ${printable(entry.linkName)}, which is not a file of this layer`);
    if (folder.get(name) === at) return;
    target.attributes = { ...target.attributes, nlink: target.attributes.nlink + 1 };
    folder.set(name, at);
  }

  #other(folder: Map<ByteString, number>, name: ByteString, { entry, chunks }: TocFile): void {
    const { type, mode, size, deviceMajor, deviceMinor, linkName } = entry;
    if (type === "symlink" && linkName === "") throw refuse(entry, "a symbolic link without a target");
    const device = type === "char" || type === "block";
    const rdev = ((deviceMinor & 0xff) | (deviceMajor << 8) | ((deviceMinor & ~0xff) << 12)) >>> 0;
    const ino = this.#add(type, {
      ...common(entry),
      mode: type === "symlink" ? 0o777 : mode,
      rdev: device ? rdev : 0,
      sizeBytes: type === "symlink" ? linkName.length : size,
      chunks,
      target: type === "symlink" ? linkName : "",
    });
    takeXattrs(this.#node(ino), entry);
    folder.set(name, ino);
  }

  #whiteout(folder: Map<ByteString, number>, name: ByteString, entry: TarEntry): void {
    if (name === "" || name === "." || name === "..")
      throw refuse(entry, "a whiteout of nothing, or of a whole folder");
    const found = folder.get(name);
    if (found === undefined) folder.set(name, this.#add("whiteout", { mtimeNs: common(entry).mtimeNs }));
    else if (this.#node(found).type === "directory") this.#markOpaque(found);
  }

  #markOpaque(ino: number): void {
    this.#node(ino).xattrs.set(opaqueXattr, Buffer.from("y"));
  }

  /** Gives folders that nothing describes what they are in the layers below. */
  #adopt(ino: number, path: ByteString, below: LayerTreeOptions["below"]): void {
    const pending: { readonly ino: number; readonly path: ByteString }[] = [{ ino, path }];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const node = this.#node(next.ino);
      if (node.implied) node.attributes = { ...node.attributes, ...below(next.path) };
      for (const [name, child] of node.children ?? []) {
        if (this.#node(child).children !== undefined)
          pending.push({ ino: child, path: next.path === "" ? name : `${next.path}/${name}` });
      }
    }
  }

  /** What a folder of this layer is, for layers above; undefined when it is none here. `path` as for LayerTreeOptions.below. */
  folderAt(path: ByteString): FolderAttributes | "other" | undefined {
    let at: number | undefined = rootIno;
    for (const name of path === "" ? [] : path.split("/"))
      at = at === undefined ? undefined : this.#node(at).children?.get(name);
    if (at === undefined) return undefined;
    const { attributes, children } = this.#node(at);
    if (children === undefined) return "other";
    const { mode, uid, gid, mtimeNs } = attributes;
    return { mode, uid, gid, mtimeNs };
  }

  /** The chunks of a file of this layer, by its path without leading slash; none when there is no such file. */
  chunksAt(path: ByteString): readonly TocChunk[] {
    let at: number | undefined = rootIno;
    for (const name of path.split("/")) at = at === undefined ? undefined : this.#node(at).children?.get(name);
    return at === undefined ? [] : this.#node(at).chunks;
  }

  attributes(ino: number): FuseAttributes | undefined {
    return this.#nodes[ino - 1]?.attributes;
  }

  lookup(folder: number, name: Uint8Array): FuseAttributes | undefined {
    const ino = this.#children(folder).get(Buffer.from(name).toString("latin1"));
    return ino === undefined ? undefined : this.attributes(ino);
  }

  entries(folder: number): readonly FuseEntry[] {
    let list = this.#lists.get(folder);
    if (list === undefined) {
      list = [...this.#children(folder)].map(([name, ino]) => ({ name: bytesOf(name), ino }));
      // The kernel remembers lists too; this one is for folders that it reads in several goes.
      if (this.#lists.size > 64) this.#lists = new Map();
      this.#lists.set(folder, list);
    }
    return list ?? emptyList;
  }

  target(ino: number): Uint8Array | undefined {
    const { type, target } = this.#node(ino);
    return type === "symlink" ? bytesOf(target) : undefined;
  }

  xattrs(ino: number): ReadonlyMap<string, Uint8Array> {
    return this.#node(ino).xattrs;
  }

  async read(
    ino: number,
    { offset, length }: { readonly offset: number; readonly length: number },
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const { chunks, attributes } = this.#node(ino);
    const end = Math.min(offset + length, attributes.sizeBytes);
    const parts: Uint8Array[] = [];
    for (let index = indexOf(chunks, offset), at = offset; at < end; index += 1) {
      const chunk = chunks[index];
      if (chunk === undefined) throw new FuseError("EIO", "a file without the chunk that was asked for");
      const stop = Math.min(end, chunk.offset + chunk.length);
      const part = isData(chunk)
        ? (await this.#chunk(chunk, signal)).subarray(at - chunk.offset, stop - chunk.offset)
        : Buffer.alloc(stop - at);
      if (part.byteLength !== stop - at) throw new FuseError("EIO", "a chunk that is shorter than it says");
      parts.push(part);
      at += part.byteLength;
    }
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
  }
}

/** Which chunk holds a file's byte; they ascend. */
function indexOf(chunks: readonly TocChunk[], offset: number): number {
  let [low, high] = [0, chunks.length];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((chunks[middle]?.offset ?? 0) <= offset) low = middle;
    else high = middle;
  }
  return low;
}

const common = ({ uid, gid, mtime, mtimeNs }: TarEntry): Pick<FuseAttributes, "uid" | "gid" | "mtimeNs"> => ({
  uid,
  gid,
  mtimeNs: mtimeNs ?? BigInt(Math.floor(mtime)) * 1_000_000_000n,
});

function takeXattrs(node: Node, { xattrs }: TarEntry): void {
  for (const [name, value] of xattrs) {
    // Only overlayfs itself, and the markers of whiteouts, may say what overlayfs is to make of a file.
    if (!name.startsWith("trusted.overlay.")) node.xattrs.set(name, value);
  }
}

const refuse = (entry: TarEntry, why: string): TripodError =>
  new TripodError("invalid", `layer member ${printable(entry.name)}: ${why}; its table of contents is refused`);
