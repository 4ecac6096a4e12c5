import { constants, readFileSync } from "node:fs";
import { randomHex, TripodError } from "@tripod/base";
import {
  type AttributeChanges,
  type FuseCaller,
  FuseError,
  type LiveAttributes,
  type LiveEntry,
  type LiveFileSystem,
  type LiveName,
  type LiveTotals,
  type NewFile,
} from "@tripod/linux";
import { MAX_DATA_BYTES, type NfsSession } from "./nfs-session.ts";
import * as nfs from "./operations.ts";
import type { Credential } from "./rpc-client.ts";

interface Node {
  readonly id: number;
  readonly file: Buffer;
  /** How often the kernel was told of it. */
  lookups: number;
  /** Open handles of it. */
  opens: number;
  /** Where it stands under a name of ours since it was removed while open. */
  hidden?: { readonly folder: Buffer; readonly name: Buffer; readonly credential: Credential };
}

interface OpenFile {
  readonly node: Node;
  readonly credential: Credential;
}

interface Place {
  readonly folder: number;
  readonly name: Buffer;
}

/** ACCESS4 bits. */
const RIGHT = { READ: 1, LOOKUP: 2, MODIFY: 4, EXTEND: 8, DELETE: 16, EXECUTE: 32 } as const;
const noVerifier = Buffer.alloc(8);

/** A folder of an NFS server as a file system. Files are known by the server's own handles, so renames by others do not confuse it. */
export class NfsFiles implements LiveFileSystem {
  readonly #session: NfsSession;
  readonly #nodes = new Map<number, Node>();
  readonly #byFile = new Map<string, Node>();
  readonly #handles = new Map<number, OpenFile>();
  /** Of folders that are being listed, what the server wants to see again. */
  readonly #verifiers = new Map<number, Buffer>();
  #last = 1;

  private constructor(session: NfsSession, root: Buffer) {
    this.#session = session;
    this.#nodes.set(1, { id: 1, file: root, lookups: 1, opens: 0 });
    this.#byFile.set(root.toString("latin1"), this.#node(1));
  }

  /** Begins at the folder `path` of the server: "/" and names between. */
  static async open(session: NfsSession, path: string): Promise<NfsFiles> {
    const names = path.split("/").filter((name) => name !== "");
    const way = [nfs.putRoot, ...names.map((name) => nfs.lookup(name))];
    const root = { uid: 0, gid: 0, groups: [] };
    try {
      const results = await session.compound(root, [...way, nfs.getHandle, nfs.getAttributes]);
      const [file, attributes] = results.slice(-2) as [Buffer, LiveAttributes]; // those operations' own
      if ((attributes.mode & constants.S_IFMT) !== constants.S_IFDIR)
        throw new TripodError("invalid", `open NFS share ${path}: it is no folder`);
      return new NfsFiles(session, file);
    } catch (error) {
      if (!(error instanceof FuseError)) throw error;
      const code =
        error.errno === "ENOENT" ? "not-found" : error.errno === "EACCES" ? "permission-denied" : "unavailable";
      throw new TripodError(code, `open NFS share ${path}: ${error.errno}; is it exported to this machine?`, {
        cause: error,
      });
    }
  }

  async lookup(folder: number, name: Buffer, caller: FuseCaller): Promise<LiveEntry> {
    return this.#entry(credentialOf(caller), [nfs.put(this.#file(folder)), nfs.lookup(name)]);
  }

  forget(id: number, count: number): void {
    const node = this.#nodes.get(id);
    if (node === undefined || id === 1) return;
    node.lookups -= count;
    if (node.lookups > 0 || node.opens > 0) return;
    this.#nodes.delete(id);
    this.#byFile.delete(node.file.toString("latin1"));
    this.#verifiers.delete(id);
  }

  async attributes(id: number, caller: FuseCaller): Promise<LiveAttributes> {
    const operations = [nfs.put(this.#file(id)), nfs.getAttributes] as const;
    return (await this.#session.compound(credentialOf(caller), operations))[1];
  }

  async change(id: number, changes: AttributeChanges, caller: FuseCaller, handle?: number): Promise<LiveAttributes> {
    const opened = handle === undefined ? undefined : this.#handles.get(handle);
    const operations = [nfs.put(this.#file(id)), nfs.setAttributes(changes), nfs.getAttributes] as const;
    return (await this.#session.compound(opened?.credential ?? credentialOf(caller), operations))[2];
  }

  async access(id: number, mask: number, caller: FuseCaller): Promise<void> {
    const isFolder = ((await this.attributes(id, caller)).mode & constants.S_IFMT) === constants.S_IFDIR;
    const rights =
      ((mask & constants.R_OK) === 0 ? 0 : RIGHT.READ) |
      ((mask & constants.W_OK) === 0 ? 0 : RIGHT.MODIFY | (isFolder ? 0 : RIGHT.EXTEND)) |
      ((mask & constants.X_OK) === 0 ? 0 : isFolder ? RIGHT.LOOKUP : RIGHT.EXECUTE);
    await this.#demand(this.#file(id), rights, credentialOf(caller));
  }

  async target(id: number, caller: FuseCaller): Promise<Uint8Array> {
    return (await this.#session.compound(credentialOf(caller), [nfs.put(this.#file(id)), nfs.readLink] as const))[1];
  }

  makeFolder(folder: number, name: Buffer, made: NewFile, caller: FuseCaller): Promise<LiveEntry> {
    const operation = nfs.create(name, { ...made, mode: made.mode | constants.S_IFDIR });
    return this.#entry(credentialOf(caller), [nfs.put(this.#file(folder)), operation]);
  }

  makeNode(folder: number, name: Buffer, made: NewFile, caller: FuseCaller): Promise<LiveEntry> {
    if ((made.mode & constants.S_IFMT) === constants.S_IFREG)
      return this.#make(folder, name, { mode: made.mode & 0o7777, exclusive: true, truncate: false }, caller);
    return this.#entry(credentialOf(caller), [nfs.put(this.#file(folder)), nfs.create(name, made)]);
  }

  makeSymlink(folder: number, name: Buffer, target: Buffer, caller: FuseCaller): Promise<LiveEntry> {
    const operation = nfs.create(name, { mode: 0o777, rdev: 0 }, target);
    return this.#entry(credentialOf(caller), [nfs.put(this.#file(folder)), operation]);
  }

  async link(id: number, { folder, name }: Place, caller: FuseCaller): Promise<LiveEntry> {
    const credential = credentialOf(caller);
    const operations = [nfs.put(this.#file(id)), nfs.save, nfs.put(this.#file(folder)), nfs.link(name)];
    await this.#session.compound(credential, operations);
    return this.#entry(credential, [nfs.put(this.#file(id))]);
  }

  async removeFile(folder: number, name: Buffer, caller: FuseCaller): Promise<void> {
    const credential = credentialOf(caller);
    if (await this.#hideOpen({ folder, name }, credential)) return;
    await this.#session.compound(credential, [nfs.put(this.#file(folder)), nfs.remove(name)]);
  }

  async removeFolder(folder: number, name: Buffer, caller: FuseCaller): Promise<void> {
    await this.#session.compound(credentialOf(caller), [nfs.put(this.#file(folder)), nfs.remove(name)]);
  }

  async rename(from: Place, to: Place, { keep, caller }: { keep: boolean; caller: FuseCaller }): Promise<void> {
    const credential = credentialOf(caller);
    if (keep) throw new FuseError("EINVAL"); // the protocol has no rename that replaces nothing
    const same = from.folder === to.folder && from.name.equals(to.name);
    if (!same) await this.#hideOpen(to, credential);
    await this.#rename(
      this.#file(from.folder),
      from.name,
      { folder: this.#file(to.folder), name: to.name },
      credential,
    );
  }

  async create(
    folder: number,
    name: Buffer,
    made: NewFile & { readonly exclusive: boolean; readonly truncate: boolean },
    caller: FuseCaller,
  ): Promise<LiveEntry & { readonly handle: number }> {
    const entry = await this.#make(folder, name, made, caller);
    return { ...entry, handle: this.#open(entry.node, credentialOf(caller)) };
  }

  async open(id: number, flags: number, caller: FuseCaller): Promise<number> {
    const credential = credentialOf(caller);
    const mode = flags & 3;
    const rights =
      (mode === constants.O_WRONLY ? 0 : RIGHT.READ) | (mode === constants.O_RDONLY ? 0 : RIGHT.MODIFY | RIGHT.EXTEND);
    // Programs that may be run but not read are read all the same, to run them.
    await this.#demand(this.#file(id), rights, credential, rights === RIGHT.READ ? RIGHT.EXECUTE : 0);
    return this.#open(id, credential);
  }

  async release(handle: number): Promise<void> {
    const opened = this.#handles.get(handle);
    if (opened === undefined) return;
    this.#handles.delete(handle);
    const { node } = opened;
    node.opens -= 1;
    if (node.opens > 0) return;
    const { hidden } = node;
    delete node.hidden;
    this.forget(node.id, 0);
    if (hidden !== undefined)
      await this.#session.compound(hidden.credential, [nfs.put(hidden.folder), nfs.remove(hidden.name)]);
  }

  async read(handle: number, range: { readonly offset: number; readonly length: number }): Promise<Uint8Array> {
    const { node, credential } = this.#opened(handle);
    const parts: Uint8Array[] = [];
    let done = 0;
    while (done < range.length) {
      const rest = { offset: range.offset + done, length: Math.min(range.length - done, MAX_DATA_BYTES) };
      const [, bytes] = await this.#session.compound(credential, [nfs.put(node.file), nfs.read(rest)] as const);
      if (bytes.length === 0) break;
      parts.push(bytes);
      done += bytes.length;
    }
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
  }

  async write(handle: number, offset: number, bytes: Uint8Array): Promise<number> {
    const { node, credential } = this.#opened(handle);
    let done = 0;
    while (done < bytes.byteLength) {
      const rest = bytes.subarray(done, done + MAX_DATA_BYTES);
      const operations = [nfs.put(node.file), nfs.write(offset + done, rest)] as const;
      const [, count] = await this.#session.compound(credential, operations);
      if (count === 0) throw new FuseError("EIO", "NFS: the server writes nothing");
      done += count;
    }
    return done;
  }

  async list(folder: number, cookie: bigint, caller: FuseCaller): Promise<readonly LiveName[]> {
    const verifier = cookie === 0n ? noVerifier : (this.#verifiers.get(folder) ?? noVerifier);
    const operations = [nfs.put(this.#file(folder)), nfs.list(cookie, verifier)] as const;
    const [, listed] = await this.#session.compound(credentialOf(caller), operations);
    this.#verifiers.set(folder, listed.verifier);
    return listed.names;
  }

  async totals(id: number, caller: FuseCaller): Promise<LiveTotals> {
    return (await this.#session.compound(credentialOf(caller), [nfs.put(this.#file(id)), nfs.getTotals] as const))[1];
  }

  async #make(
    folder: number,
    name: Buffer,
    made: { readonly mode: number; readonly exclusive: boolean; readonly truncate: boolean },
    caller: FuseCaller,
  ): Promise<LiveEntry> {
    const operation = nfs.createFile(name, { ...made, clientId: this.#session.clientId });
    const operations = [
      nfs.put(this.#file(folder)),
      operation,
      nfs.getHandle,
      nfs.getAttributes,
      nfs.closeCreated,
    ] as const;
    const [, , file, attributes] = await this.#session.compound(credentialOf(caller), operations);
    return this.#known(file, attributes);
  }

  /** Does `way`, and says what is there where it ends. */
  async #entry(credential: Credential, way: readonly nfs.Step[]): Promise<LiveEntry> {
    const results = await this.#session.compound(credential, [...way, nfs.getHandle, nfs.getAttributes]);
    const [file, attributes] = results.slice(-2) as [Buffer, LiveAttributes]; // those operations' own
    return this.#known(file, attributes);
  }

  #known(file: Buffer, attributes: LiveAttributes): LiveEntry {
    const key = file.toString("latin1");
    let node = this.#byFile.get(key);
    if (node === undefined) {
      this.#last += 1;
      node = { id: this.#last, file, lookups: 0, opens: 0 };
      this.#nodes.set(node.id, node);
      this.#byFile.set(key, node);
    }
    node.lookups += 1;
    return { node: node.id, attributes };
  }

  async #demand(file: Buffer, rights: number, credential: Credential, instead = 0): Promise<void> {
    if (rights === 0) return;
    const [, granted] = await this.#session.compound(credential, [
      nfs.put(file),
      nfs.access(rights | instead),
    ] as const);
    if ((granted & rights) !== rights && (granted & instead) === 0) throw new FuseError("EACCES");
  }

  /** A file that is removed while this node has it open takes another name until it is closed, for servers know nothing of who has it open. */
  async #hideOpen({ folder, name }: Place, credential: Credential): Promise<boolean> {
    if (this.#handles.size === 0) return false;
    const file = this.#file(folder);
    let found: Buffer;
    try {
      const operations = [nfs.put(file), nfs.lookup(name), nfs.getHandle] as const;
      found = (await this.#session.compound(credential, operations))[2];
    } catch (error) {
      if (error instanceof FuseError && error.errno === "ENOENT") return false;
      throw error;
    }
    const node = this.#byFile.get(found.toString("latin1"));
    if (node === undefined || node.opens === 0 || node.hidden !== undefined) return false;
    const hidden = { folder: file, name: Buffer.from(`.nfs${randomHex(16)}`), credential };
    await this.#rename(file, name, hidden, credential);
    node.hidden = hidden;
    return true;
  }

  async #rename(
    from: Buffer,
    name: Buffer,
    to: { readonly folder: Buffer; readonly name: Buffer },
    credential: Credential,
  ): Promise<void> {
    await this.#session.compound(credential, [nfs.put(from), nfs.save, nfs.put(to.folder), nfs.rename(name, to.name)]);
  }

  #open(id: number, credential: Credential): number {
    const node = this.#node(id);
    node.opens += 1;
    this.#last += 1;
    this.#handles.set(this.#last, { node, credential });
    return this.#last;
  }

  #opened(handle: number): OpenFile {
    const opened = this.#handles.get(handle);
    if (opened === undefined) throw new FuseError("EBADF");
    return opened;
  }

  #node(id: number): Node {
    const node = this.#nodes.get(id);
    if (node === undefined) throw new FuseError("ESTALE");
    return node;
  }

  #file(id: number): Buffer {
    return this.#node(id).file;
  }
}

/** Whose call it is, with the further groups of the process where it can be seen. */
function credentialOf({ uid, gid, pid }: FuseCaller): Credential {
  if (uid === 0 || pid === 0) return { uid, gid, groups: [] };
  try {
    const [, groups = ""] = /^Groups:\s*(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1")) ?? [];
    return {
      uid,
      gid,
      groups: groups
        .split(" ")
        .filter((group) => group !== "")
        .map(Number),
    };
  } catch {
    return { uid, gid, groups: [] };
  }
}
