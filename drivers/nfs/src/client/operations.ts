import { constants } from "node:fs";
import type { AttributeChanges, LiveAttributes, LiveName, LiveTotals, NewFile } from "@tripod/linux";
import {
  askForFile,
  askForName,
  askForTotals,
  readAttributes,
  readNameAttributes,
  readTotals,
  writeChanges,
} from "./attributes.ts";
import { FILE_TYPE, OP } from "./nfs-numbers.ts";
import type { Operation } from "./nfs-session.ts";
import type { XdrReader } from "./xdr.ts";

// The operations of NFS 4.1 that files need. What is read or written goes without OPEN, by the stateid that stands for no state at all.

export type Step = Operation<unknown>;

const noState = Buffer.alloc(16);
/** The one that an operation before it in the compound has given. */
const currentState = Buffer.from("00000001".padEnd(32, "0"), "hex");
const listBytes = 64 * 1024;
const FILE_SYNC = 2;
const [SHARE_BOTH, WANT_NO_DELEGATION] = [3, 0x400];

const skipChange = (from: XdrReader): void => {
  from.u32();
  from.u64();
  from.u64();
};

export const putRoot: Operation = { op: OP.PUTROOTFH };
export const save: Operation = { op: OP.SAVEFH };
export const put = (file: Buffer): Operation => ({ op: OP.PUTFH, write: (to) => void to.opaque(file) });
export const getHandle: Operation<Buffer> = { op: OP.GETFH, read: (from) => Buffer.from(from.opaque()) };
export const getAttributes: Operation<LiveAttributes> = { op: OP.GETATTR, write: askForFile, read: readAttributes };
export const getTotals: Operation<LiveTotals> = { op: OP.GETATTR, write: askForTotals, read: readTotals };
export const lookup = (name: Uint8Array | string): Operation => ({
  op: OP.LOOKUP,
  write: (to) => void to.opaque(name),
});

/** Which of the asked rights (ACCESS4 bits) the caller has. */
export const access = (rights: number): Operation<number> => ({
  op: OP.ACCESS,
  write: (to) => void to.u32(rights),
  read: (from) => {
    from.u32();
    return from.u32();
  },
});

export const setAttributes = (changes: AttributeChanges): Operation => ({
  op: OP.SETATTR,
  write: (to) => writeChanges(to.fixed(noState), changes),
  read: (from) => void from.words(),
});

export const readLink: Operation<Buffer> = { op: OP.READLINK, read: (from) => Buffer.from(from.opaque()) };

export const read = ({ offset, length }: { offset: number; length: number }): Operation<Buffer> => ({
  op: OP.READ,
  write: (to) => void to.fixed(noState).u64(BigInt(offset)).u32(length),
  read: (from) => {
    from.bool();
    return from.opaque();
  },
});

/** On the server's disk when it has answered. */
export const write = (offset: number, bytes: Uint8Array): Operation<number> => ({
  op: OP.WRITE,
  write: (to) => void to.fixed(noState).u64(BigInt(offset)).u32(FILE_SYNC).opaque(bytes),
  read: (from) => {
    const count = from.u32();
    from.u32();
    from.fixed(8);
    return count;
  },
});

export const list = (cookie: bigint, verifier: Buffer): Operation<{ verifier: Buffer; names: LiveName[] }> => ({
  op: OP.READDIR,
  write: (to) =>
    askForName(
      to
        .u64(cookie)
        .fixed(verifier)
        .u32(listBytes / 4)
        .u32(listBytes),
    ),
  read: (from) => {
    const told = Buffer.from(from.fixed(8));
    const names: LiveName[] = [];
    while (from.bool()) {
      const [next, name] = [from.u64(), Buffer.from(from.opaque())];
      names.push({ name, cookie: next, ...readNameAttributes(from) });
    }
    from.bool();
    return { verifier: told, names };
  },
});

export const remove = (name: Buffer): Operation => ({
  op: OP.REMOVE,
  write: (to) => void to.opaque(name),
  read: skipChange,
});

export const rename = (from: Buffer, to: Buffer): Operation => ({
  op: OP.RENAME,
  write: (into) => void into.opaque(from).opaque(to),
  read: (reply) => {
    skipChange(reply);
    skipChange(reply);
  },
});

export const link = (name: Buffer): Operation => ({
  op: OP.LINK,
  write: (to) => void to.opaque(name),
  read: skipChange,
});

const typeOfMode: ReadonlyMap<number, number> = new Map([
  [constants.S_IFDIR, FILE_TYPE.FOLDER],
  [constants.S_IFBLK, FILE_TYPE.BLOCK],
  [constants.S_IFCHR, FILE_TYPE.CHARACTER],
  [constants.S_IFSOCK, FILE_TYPE.SOCKET],
  [constants.S_IFIFO, FILE_TYPE.FIFO],
]);

/** A folder, device, socket, FIFO, or with `target` a symbolic link. */
export const create = (name: Buffer, { mode, rdev }: NewFile, target?: Buffer): Operation => ({
  op: OP.CREATE,
  write: (to) => {
    const type = target === undefined ? (typeOfMode.get(mode & constants.S_IFMT) ?? 0) : FILE_TYPE.LINK;
    to.u32(type);
    if (target !== undefined) to.opaque(target);
    if (type === FILE_TYPE.BLOCK || type === FILE_TYPE.CHARACTER)
      to.u32((rdev >>> 8) & 0xfff).u32((rdev & 0xff) | ((rdev >>> 12) & 0xfff00));
    to.opaque(name);
    writeChanges(to, { mode: mode & 0o7777 });
  },
  read: (from) => {
    skipChange(from);
    from.words();
  },
});

/** Makes a regular file. Its OPEN is closed by closeCreated, later in the same compound. */
export const createFile = (
  name: Buffer,
  { mode, exclusive, truncate, clientId }: { mode: number; exclusive: boolean; truncate: boolean; clientId: bigint },
): Operation => ({
  op: OP.OPEN,
  write: (to) => {
    to.u32(0)
      .u32(SHARE_BOTH | WANT_NO_DELEGATION)
      .u32(0)
      .u64(clientId)
      .opaque("tripod");
    to.u32(1).u32(exclusive ? 1 : 0);
    writeChanges(to, { mode, ...(truncate && { sizeBytes: 0n }) });
    to.u32(0).opaque(name);
  },
  read: (from) => {
    from.fixed(16);
    skipChange(from);
    from.u32();
    from.words();
    // No delegation: type 0, or type 3 with the reason.
    if (from.u32() === 3 && [1, 2].includes(from.u32())) from.bool();
  },
});

export const closeCreated: Operation = {
  op: OP.CLOSE,
  write: (to) => void to.u32(0).fixed(currentState),
  read: (from) => void from.fixed(16),
};
