import { constants } from "node:fs";
import { FuseError } from "./fuse-file-system.ts";
import { CHANGE, FUSE_VERSION, IN_HEADER_BYTES, LIVE_OP, OP } from "./fuse-numbers.ts";
import type { AttributeChanges, FuseCaller, LiveFileSystem, LiveName } from "./live-file-system.ts";
import {
  liveAttributesReply,
  liveEntryReply,
  liveInitReply,
  liveListReply,
  liveTotalsReply,
  openReply,
  writtenReply,
} from "./live-reply.ts";

const nothing = new Uint8Array(0);
const RENAME_NOREPLACE = 1;

/** The body of the answer to one request, whose bytes are its own; what is refused is a FuseError. */
export async function answerLiveRequest(files: LiveFileSystem, request: Buffer): Promise<Uint8Array> {
  const node = Number(request.readBigUInt64LE(16));
  const caller = { uid: request.readUInt32LE(24), gid: request.readUInt32LE(28), pid: request.readUInt32LE(32) };
  const body = request.subarray(IN_HEADER_BYTES);
  switch (request.readUInt32LE(4)) {
    case OP.INIT:
      if (body.readUInt32LE(0) !== FUSE_VERSION.major || body.readUInt32LE(4) < FUSE_VERSION.minor)
        throw new FuseError("EPROTO");
      return liveInitReply({
        readahead: body.readUInt32LE(8),
        flags: BigInt(body.readUInt32LE(12)) | (body.length >= 20 ? BigInt(body.readUInt32LE(16)) << 32n : 0n),
      });
    case OP.LOOKUP:
      return liveEntryReply(await files.lookup(node, nameIn(body, 0), caller));
    case OP.GETATTR:
      return liveAttributesReply(await files.attributes(node, caller));
    case LIVE_OP.SETATTR: {
      const handle = (body.readUInt32LE(0) & CHANGE.HANDLE) === 0 ? undefined : Number(body.readBigUInt64LE(8));
      return liveAttributesReply(await files.change(node, changesIn(body), caller, handle));
    }
    case LIVE_OP.ACCESS:
      await files.access(node, body.readUInt32LE(0), caller);
      return nothing;
    case OP.READLINK:
      return files.target(node, caller);
    case LIVE_OP.MKDIR:
      return liveEntryReply(
        await files.makeFolder(node, nameIn(body, 8), { mode: body.readUInt32LE(0) & 0o7777, rdev: 0 }, caller),
      );
    case LIVE_OP.MKNOD: {
      const made = { mode: body.readUInt32LE(0), rdev: body.readUInt32LE(4) };
      return liveEntryReply(await files.makeNode(node, nameIn(body, 16), made, caller));
    }
    case LIVE_OP.SYMLINK: {
      const name = nameIn(body, 0);
      return liveEntryReply(await files.makeSymlink(node, name, nameIn(body, name.length + 1), caller));
    }
    case LIVE_OP.LINK: {
      const linked = Number(body.readBigUInt64LE(0));
      return liveEntryReply(await files.link(linked, { folder: node, name: nameIn(body, 8) }, caller));
    }
    case LIVE_OP.UNLINK:
      await files.removeFile(node, nameIn(body, 0), caller);
      return nothing;
    case LIVE_OP.RMDIR:
      await files.removeFolder(node, nameIn(body, 0), caller);
      return nothing;
    case LIVE_OP.RENAME:
      return rename(files, node, body, { namesAt: 8, flags: 0, caller });
    case LIVE_OP.RENAME2:
      return rename(files, node, body, { namesAt: 16, flags: body.readUInt32LE(8), caller });
    case LIVE_OP.CREATE: {
      const flags = body.readUInt32LE(0);
      const made = {
        mode: body.readUInt32LE(4) & 0o7777,
        rdev: 0,
        exclusive: (flags & constants.O_EXCL) !== 0,
        truncate: (flags & constants.O_TRUNC) !== 0,
      };
      const created = await files.create(node, nameIn(body, 16), made, caller);
      return Buffer.concat([liveEntryReply(created), openReply(created.handle)]);
    }
    case OP.OPEN:
      return openReply(await files.open(node, body.readUInt32LE(0), caller));
    case OP.OPENDIR:
      return openReply(0);
    case OP.READ:
      return files.read(Number(body.readBigUInt64LE(0)), {
        offset: Number(body.readBigUInt64LE(8)),
        length: body.readUInt32LE(16),
      });
    case LIVE_OP.WRITE: {
      const bytes = body.subarray(40, 40 + body.readUInt32LE(16));
      const [handle, offset] = [Number(body.readBigUInt64LE(0)), Number(body.readBigUInt64LE(8))];
      return writtenReply(await files.write(handle, offset, bytes));
    }
    case OP.RELEASE:
      await files.release(Number(body.readBigUInt64LE(0)));
      return nothing;
    case OP.READDIR: {
      const [cookie, length] = [body.readBigUInt64LE(8), body.readUInt32LE(16)];
      return liveListReply(await namesFrom(files, node, cookie, caller), length);
    }
    case OP.STATFS:
      return liveTotalsReply(await files.totals(node, caller));
    // What write() has taken is written: there is nothing to wait for.
    case LIVE_OP.FSYNC:
    case LIVE_OP.FSYNCDIR:
    case OP.RELEASEDIR:
    case OP.DESTROY:
      return nothing;
    // The kernel does without, and never asks again: flushes, extended attributes, holes, ioctls.
    default:
      throw new FuseError("ENOSYS");
  }
}

async function rename(
  files: LiveFileSystem,
  folder: number,
  body: Buffer,
  { namesAt, flags, caller }: { namesAt: number; flags: number; caller: FuseCaller },
): Promise<Uint8Array> {
  if ((flags & ~RENAME_NOREPLACE) !== 0) throw new FuseError("EINVAL");
  const name = nameIn(body, namesAt);
  const to = { folder: Number(body.readBigUInt64LE(0)), name: nameIn(body, namesAt + name.length + 1) };
  await files.rename({ folder, name }, to, { keep: flags === RENAME_NOREPLACE, caller });
  return nothing;
}

/** "." and ".." first, which the kernel never looks up. */
async function namesFrom(
  files: LiveFileSystem,
  folder: number,
  cookie: bigint,
  caller: FuseCaller,
): Promise<readonly LiveName[]> {
  const dots = [".", ".."].map((name, index) => ({
    name: Buffer.from(name),
    ino: folder,
    mode: constants.S_IFDIR,
    cookie: BigInt(index + 1),
  }));
  const names = await files.list(folder, cookie <= 2n ? 0n : cookie, caller);
  return cookie >= 2n ? names : [...dots.slice(Number(cookie)), ...names];
}

function changesIn(body: Buffer): AttributeChanges {
  const valid = body.readUInt32LE(0);
  const time = (given: number, now: number, at: number, nanosecondsAt: number): bigint | "now" | undefined =>
    (valid & now) !== 0
      ? "now"
      : (valid & given) !== 0
        ? body.readBigInt64LE(at) * 1_000_000_000n + BigInt(body.readUInt32LE(nanosecondsAt))
        : undefined;
  const atimeNs = time(CHANGE.ATIME, CHANGE.ATIME_NOW, 32, 56);
  const mtimeNs = time(CHANGE.MTIME, CHANGE.MTIME_NOW, 40, 60);
  return {
    ...((valid & CHANGE.MODE) !== 0 && { mode: body.readUInt32LE(68) & 0o7777 }),
    ...((valid & CHANGE.UID) !== 0 && { uid: body.readUInt32LE(76) }),
    ...((valid & CHANGE.GID) !== 0 && { gid: body.readUInt32LE(80) }),
    ...((valid & CHANGE.SIZE) !== 0 && { sizeBytes: body.readBigUInt64LE(16) }),
    ...(atimeNs !== undefined && { atimeNs }),
    ...(mtimeNs !== undefined && { mtimeNs }),
  };
}

/** A name up to its NUL. */
function nameIn(body: Buffer, at: number): Buffer {
  const end = body.indexOf(0, at);
  if (end < 0) throw new FuseError("EIO", "a name without an end");
  return body.subarray(at, end);
}
