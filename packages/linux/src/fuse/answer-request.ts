import { constants } from "node:os";
import { type FuseAttributes, FuseError, type FuseFileSystem } from "./fuse-file-system.ts";
import { FUSE_VERSION } from "./fuse-numbers.ts";
import {
  attributesReply,
  entryReply,
  initReply,
  type ListedName,
  listReply,
  sizedReply,
  totalsReply,
} from "./fuse-reply.ts";
import type { FuseRequest } from "./fuse-request.ts";

const nothing = new Uint8Array(0);
const dot = Buffer.from(".");
const dotDot = Buffer.from("..");

/** The body of the answer to a request other than to read; what is refused is a FuseError. */
export function answerRequest(files: FuseFileSystem, request: Exclude<FuseRequest, { kind: "read" }>): Uint8Array {
  const { ino } = request;
  switch (request.kind) {
    case "init":
      if (request.major !== FUSE_VERSION.major || request.minor < FUSE_VERSION.minor) throw new FuseError("EPROTO");
      return initReply(request);
    case "lookup":
      return entryReply(files.lookup(ino, request.name));
    case "attributes":
      return attributesReply(attributesOf(files, ino));
    case "target":
      return files.target(ino) ?? refuse("EINVAL");
    case "list": {
      const { offset: first, plus, length } = request;
      return listReply(namesFrom(files, ino, first), { first, plus, length });
    }
    case "xattr": {
      const value = files.xattrs(ino).get(request.name) ?? refuse("ENODATA");
      return sizedReply(value, request.length) ?? refuse("ERANGE");
    }
    case "xattr-names": {
      const names = [...files.xattrs(ino).keys()].map((name) => `${name}\0`).join("");
      return sizedReply(Buffer.from(names, "latin1"), request.length) ?? refuse("ERANGE");
    }
    // The kernel never asks again once it was told that there is no such operation, and keeps what it has read.
    case "open":
    case "open-folder":
      return refuse("ENOSYS");
    case "totals":
      return totalsReply(files.totals);
    case "done":
    case "forget":
    case "destroy":
    case "interrupt":
      return nothing;
    case "change":
      return refuse("EROFS");
    case "unknown":
      return refuse("ENOSYS");
  }
}

const refusals = new Map<keyof typeof constants.errno, FuseError>();

/** Most files are asked for attributes that they have not: an error is made once for all of them. */
function refuse(errno: keyof typeof constants.errno): never {
  let refusal = refusals.get(errno);
  if (refusal === undefined) {
    refusal = new FuseError(errno);
    refusals.set(errno, refusal);
  }
  throw refusal;
}

function attributesOf(files: FuseFileSystem, ino: number): FuseAttributes {
  return files.attributes(ino) ?? refuse("ESTALE");
}

function* namesFrom(files: FuseFileSystem, folder: number, first: number): Generator<ListedName> {
  const entries = files.entries(folder);
  for (let index = first; index < entries.length + 2; index += 1) {
    const entry = entries[index - 2];
    if (entry !== undefined) yield { name: entry.name, attributes: attributesOf(files, entry.ino), special: false };
    else yield { name: index === 0 ? dot : dotDot, attributes: attributesOf(files, folder), special: true };
  }
}
